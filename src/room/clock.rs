//! RTP time to session time.
