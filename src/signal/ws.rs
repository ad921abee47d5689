//! This project's own rooms: JSON over WebSocket.
