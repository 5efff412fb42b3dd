-- Version 1 had no operation, no times but the first byte's, no losses and no teams. What it did not know stays unknown.
ALTER TABLE settlement ADD COLUMN operation TEXT NOT NULL DEFAULT 'chat';
ALTER TABLE settlement ADD COLUMN first_content_micros INTEGER NOT NULL DEFAULT 0;
ALTER TABLE settlement ADD COLUMN overhead_micros INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempt ADD COLUMN dropped TEXT NOT NULL DEFAULT '';
ALTER TABLE attempt ADD COLUMN skipped_events INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempt ADD COLUMN cooled INTEGER NOT NULL DEFAULT 0;
-- A primary key cannot be changed in place.
ALTER TABLE request_count RENAME TO request_count_1;
ALTER TABLE usage_count RENAME TO usage_count_1;
