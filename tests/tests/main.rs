//! Tests that cross rooms, in one binary; a module a subject.

#![allow(missing_docs, clippy::unwrap_used)]

mod bench;
mod captures;
mod card;
mod commit;
mod corpus;
mod coverage;
mod curl;
mod cycles;
mod faults;
mod flows;
mod generator;
mod guest;
mod hostile;
mod katran;
mod lab;
mod port;
mod switch;
mod vfio_user;
