-- In whose name the application acts in rooms: no token is of theirs, and they are a member of none.
insert into "user" (id, name, role, created_at) values ('tidings:system', 'System', 'CUSTOMER', 0)
on conflict (id) do nothing;

-- Who may not come back to a room until a moderator or the admin side lets them.
create table ban (
    room_id text collate "C" not null references room (id),
    user_id text collate "C" not null references "user" (id),
    by_user_id text collate "C" not null references "user" (id),
    at bigint not null,
    primary key (room_id, user_id)
);
