-- The log of each room, who reads it, and how far. Times are microseconds since 1970 in UTC.

-- Names this history of the database; a cursor of another one means nothing.
create table history (
    only_one integer primary key check (only_one = 1),
    id text not null
) strict;

create table "user" (
    id text primary key,
    name text not null,
    avatar_url text,
    role text not null,
    partner_id text,
    partner_status text,
    -- +1 in each transaction that changes their memberships or, by `read`, their read position
    rev integer not null default 0,
    created_at integer not null
) strict, without rowid;

create table room (
    id text primary key,
    kind text not null check (kind in ('DIRECT', 'GROUP', 'PUBLIC')),
    key text,
    title text,
    metadata text,
    history_for text not null default 'all' check (history_for in ('all', 'joined')),
    -- both ids in order and the key, so that a pair has one room per key
    direct_pair text unique,
    created_at integer not null,
    last_message_at integer,
    last_seq integer not null default 0,
    rev integer not null default 0,
    member_count integer not null default 0
) strict, without rowid;

-- finding public rooms, newest first
create index room_kind on room (kind, last_message_at desc, id desc);

create table member (
    room_id text not null references room (id),
    user_id text not null references "user" (id),
    role text not null check (role in ('OWNER', 'MODERATOR', 'MEMBER')),
    -- the SYSTEM message of the latest joining
    joined_seq integer not null,
    last_read_seq integer not null,
    primary key (room_id, user_id)
) strict, without rowid;

create index member_user on member (user_id, room_id);

create table message (
    room_id text not null references room (id),
    -- its place for good: 1..n without a hole
    seq integer not null,
    -- its last change: a changed message leaves its old number empty
    rev integer not null,
    id text not null,
    -- of what was sent, so that the same send tried again is known
    hash blob not null,
    sender_id text not null,
    -- name and picture as they were: reading a page joins nothing
    sender_name text not null,
    sender_avatar_url text,
    content text not null,
    content_type text not null check (content_type in ('TEXT', 'IMAGE', 'SYSTEM')),
    metadata text,
    reply_to text,
    -- what readers see of the table below
    reactions text not null default '[]',
    moderation text,
    created_at integer not null,
    edited_at integer,
    deleted_at integer,
    primary key (room_id, seq)
) strict, without rowid;

create unique index message_rev on message (room_id, rev);
create unique index message_id on message (room_id, id);

create table reaction (
    room_id text not null,
    seq integer not null,
    emoji text not null,
    user_id text not null,
    created_at integer not null,
    primary key (room_id, seq, emoji, user_id),
    foreign key (room_id, seq) references message (room_id, seq)
) strict, without rowid;
