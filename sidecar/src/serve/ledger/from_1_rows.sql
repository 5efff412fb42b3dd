-- After the new tables are there.
INSERT INTO request_count SELECT key, '', model, status_class, dialect, requests FROM request_count_1;
INSERT INTO usage_count
SELECT key, '', provider, model, requests, errors, tries_ok, tries_error, tries_no_answer, tries_cut, input_tokens,
    output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, 0, 0
FROM usage_count_1;
DROP TABLE request_count_1;
DROP TABLE usage_count_1;
