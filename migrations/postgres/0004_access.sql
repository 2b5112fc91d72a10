-- What of a user the admin side has set; the rest is what their newest token says.
alter table "user"
    add column name_set boolean not null default false,
    add column avatar_set boolean not null default false,
    add column role_set boolean not null default false,
    add column partner_set boolean not null default false,
    -- when that token was issued
    add column claims_at bigint not null default 0;

-- The log of who may come in: revoked, suspended, disconnected, changed. Instances read it from a cursor, as readers read
-- a room. Its last number is kept in a row of its own, whose lock makes the numbers grow in the order of the commits.
create table access_head (
    only_one integer primary key check (only_one = 1),
    number bigint not null
);
insert into access_head (only_one, number) values (1, 0);

-- Of each kind and subject only the last change counts, and only it is kept.
create table access_change (
    number bigint not null unique,
    kind text collate "C" not null,
    subject text collate "C" not null,
    value bigint not null,
    -- when nothing needs to know of it any more
    until bigint not null,
    primary key (kind, subject)
);
create index access_change_until on access_change (until);
