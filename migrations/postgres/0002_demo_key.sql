-- Signs the tokens of a demo. Kept here, so that all instances on one database take each other's.
create table demo_key (
    only_one integer primary key check (only_one = 1),
    key text not null
);
