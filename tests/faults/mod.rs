//! Several instances on one PostgreSQL and one Redis, while something breaks.

mod servers;
