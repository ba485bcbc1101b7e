//! Sources and stores.
