//! From RTP packets to encoded frames: reordering with room for retransmission, depayloading, key-frame gating. Pure:
//! time is passed in.
