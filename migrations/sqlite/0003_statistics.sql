-- For PostgreSQL, whose plans are kept. SQLite prefers the index that leads to one row, whatever the table holds.
select 1;
