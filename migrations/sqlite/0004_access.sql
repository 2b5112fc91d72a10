-- What of a user the admin side has set; the rest is what their newest token says.
alter table "user" add column name_set integer not null default 0;
alter table "user" add column avatar_set integer not null default 0;
alter table "user" add column role_set integer not null default 0;
alter table "user" add column partner_set integer not null default 0;
-- when that token was issued
alter table "user" add column claims_at integer not null default 0;

-- The log of who may come in: revoked, suspended, disconnected, changed. Instances read it from a cursor, as readers read
-- a room. Its last number is kept in a row of its own, whose lock makes the numbers grow in the order of the commits.
create table access_head (
    only_one integer primary key check (only_one = 1),
    number integer not null
) strict;
insert into access_head (only_one, number) values (1, 0);

-- Of each kind and subject only the last change counts, and only it is kept.
create table access_change (
    number integer not null unique,
    kind text not null,
    subject text not null,
    value integer not null,
    -- when nothing needs to know of it any more
    until integer not null,
    primary key (kind, subject)
) strict;
create index access_change_until on access_change (until);
