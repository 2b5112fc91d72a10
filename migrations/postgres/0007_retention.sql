-- How much of a room's log is kept, and erasing what a person wrote.

-- The first message that is kept; one above the last if none is.
alter table room add column oldest_seq bigint not null default 1;
-- Of those removed: the highest `rev`, below which a cursor has missed some, and when the last one was written.
alter table room add column expired_rev bigint not null default 0;
alter table room add column expired_at bigint;
-- Days and messages that are kept; 0: all of them. Both absent: as the service's settings say.
alter table room add column keep_days bigint;
alter table room add column keep_messages bigint;
create index room_keeps on room (id) where keep_days is not null;

-- When the next pass is due, whichever instance makes it.
create table retention (
    only_one integer primary key check (only_one = 1),
    next_at bigint not null
);
insert into retention (only_one, next_at) values (1, 0);

-- What a person wrote and gave. Whatever was erased has no hash of what was sent any more, nor ever had what the log says
-- by itself.
create index message_sender on message (sender_id, room_id) where length(hash) > 0;
create index reaction_user on reaction (user_id, room_id);
create index moderation_case_sender on moderation_case (room_id, sender_id);

-- A new index of an empty table tells the planner that there are no messages, so it is told again what they are like; see
-- 0003_statistics.sql.
insert into message (room_id, seq, rev, id, hash, sender_id, sender_name, content, content_type, created_at)
select 'no room ' || n % 250, n, n, 'no message ' || n, '', 'nobody', 'nobody', '', 'TEXT', n
from generate_series(1, 5000) as n
where not exists (select 1 from message);

analyze message;

delete from message where room_id like 'no room %';
