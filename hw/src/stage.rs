//! The five stages. Each is the twin of the file of the same name in `maglane-sw`.

pub mod classify;
pub mod flow_hash;
pub mod parse;
pub mod rewrite;
pub mod select;
