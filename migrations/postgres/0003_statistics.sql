-- Connections keep their plans. One made while the table was empty finds all of its indexes equally good, and then
-- may look for one message by reading a whole room, until the first ANALYZE some minutes later. So the planner is
-- told from the beginning what messages are like: many in a room, each with an id of its own. So many rooms that none
-- of them stands out, or one that is not among them would look empty. (No id holds a space.)
insert into message (room_id, seq, rev, id, hash, sender_id, sender_name, content, content_type, created_at)
select 'no room ' || n % 250, n, n, 'no message ' || n, '', 'nobody', 'nobody', '', 'TEXT', n
from generate_series(1, 5000) as n
where not exists (select 1 from message);

analyze message;

delete from message where room_id like 'no room %';
