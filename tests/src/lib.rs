//! What crosses rooms lives in `tests/tests`: one binary, a module a subject.
