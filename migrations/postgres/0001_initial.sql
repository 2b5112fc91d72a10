-- The log of each room, who reads it, and how far. Times are microseconds since 1970 in UTC. Texts that are compared
-- are compared byte by byte, so that every instance and every client orders them alike.

-- Names this history of the database; a cursor of another one means nothing.
create table history (
    only_one integer primary key check (only_one = 1),
    id text collate "C" not null
);

create table "user" (
    id text collate "C" primary key,
    name text not null,
    avatar_url text,
    role text not null,
    partner_id text,
    partner_status text,
    -- +1 in each transaction that changes their memberships or, by `read`, their read position
    rev bigint not null default 0,
    created_at bigint not null
) with (fillfactor = 80);

-- Each send writes its room's row anew. It finds place on the same page, and no index names what it changes, so that
-- no index is touched and the old versions go by themselves.
create table room (
    id text collate "C" primary key,
    kind text not null check (kind in ('DIRECT', 'GROUP', 'PUBLIC')),
    key text,
    title text,
    metadata text,
    history_for text not null default 'all' check (history_for in ('all', 'joined')),
    -- both ids in order and the key, so that a pair has one room per key
    direct_pair text collate "C" unique,
    created_at bigint not null,
    last_message_at bigint,
    last_seq bigint not null default 0,
    rev bigint not null default 0,
    member_count bigint not null default 0
) with (fillfactor = 50);

-- finding public rooms; they are sorted when asked for
create index room_public on room (id) where kind = 'PUBLIC';

create table member (
    room_id text collate "C" not null references room (id),
    user_id text collate "C" not null references "user" (id),
    role text not null check (role in ('OWNER', 'MODERATOR', 'MEMBER')),
    -- the SYSTEM message of the latest joining
    joined_seq bigint not null,
    last_read_seq bigint not null,
    primary key (room_id, user_id)
) with (fillfactor = 70);

create index member_user on member (user_id, room_id);

-- Written only under the room's lock by who has read the room's row there, so it needs no reference to it.
create table message (
    room_id text collate "C" not null,
    -- its place for good: 1..n without a hole
    seq bigint not null,
    -- its last change: a changed message leaves its old number empty
    rev bigint not null,
    id text collate "C" not null,
    -- of what was sent, so that the same send tried again is known
    hash bytea not null,
    sender_id text collate "C" not null,
    -- name and picture as they were: reading a page joins nothing
    sender_name text not null,
    sender_avatar_url text,
    content text not null,
    content_type text not null check (content_type in ('TEXT', 'IMAGE', 'SYSTEM')),
    metadata text,
    reply_to text collate "C",
    -- what readers see of the table below
    reactions text not null default '[]',
    moderation text,
    created_at bigint not null,
    edited_at bigint,
    deleted_at bigint,
    primary key (room_id, seq)
);

create unique index message_rev on message (room_id, rev);
create unique index message_id on message (room_id, id);

create table reaction (
    room_id text collate "C" not null,
    seq bigint not null,
    emoji text collate "C" not null,
    user_id text collate "C" not null,
    created_at bigint not null,
    primary key (room_id, seq, emoji, user_id),
    foreign key (room_id, seq) references message (room_id, seq)
);
