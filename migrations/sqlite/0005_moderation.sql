-- What keeps a room calm: quotas, slow mode, and messages that wait for somebody's decision.

-- So many messages a day and person, over all rooms that name it. A day begins at midnight of its time zone.
create table quota (
    name text primary key,
    per_day integer not null check (per_day > 0),
    time_zone text not null
) strict, without rowid;

-- What a person has used of it on the last day they wrote on, as YYYY-MM-DD: a row for each person, not for each day.
create table quota_use (
    quota text not null references quota (name),
    user_id text not null,
    day text not null,
    used integer not null,
    primary key (quota, user_id)
) strict, without rowid;

alter table room add column quota text references quota (name);
-- Seconds between two messages of one member; 0: none.
alter table room add column slow_mode_seconds integer not null default 0;
create index room_quota on room (quota) where quota is not null;

alter table member add column last_sent_at integer;

-- What was flagged, as it was then, and what became of it. It stays when the message is blanked or removed.
create table moderation_case (
    room_id text not null,
    seq integer not null,
    -- of the change that was flagged: the sending, or an edit
    rev integer not null,
    message_id text not null,
    sender_id text not null,
    sender_name text not null,
    content text not null,
    content_type text not null,
    metadata text,
    flagged_by text not null check (flagged_by in ('WORDS', 'HOOK')),
    reason text not null,
    flagged_at integer not null,
    decision text check (decision in ('APPROVED', 'REJECTED')),
    decision_reason text,
    decided_by text,
    decided_at integer,
    primary key (room_id, seq, rev)
) strict, without rowid;

-- the queue: what nobody has decided yet, oldest first
create index moderation_case_open on moderation_case (flagged_at, room_id, rev) where decision is null;
