-- Version 3 did not know prices and limits. What tries cost then stays unknown.
ALTER TABLE settlement ADD COLUMN downgraded INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempt ADD COLUMN cost INTEGER;
