//! Models of the engine's synchronization, for loom.
