-- Version 2 did not know kinds of failures.
ALTER TABLE attempt ADD COLUMN disposition TEXT NOT NULL DEFAULT '';
