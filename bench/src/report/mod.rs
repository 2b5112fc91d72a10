//! What becomes of figures: samples as lines of JSON, tables, and a picture. Nothing is measured here.

mod figures;
mod picture;
mod results;
mod table;

pub(crate) use figures::{Figures, Sample};
pub(crate) use picture::picture;
pub(crate) use results::{Machine, Results, said};
pub(crate) use table::{Column, growth, table};
