//! Programs that show how to use gristmill.
