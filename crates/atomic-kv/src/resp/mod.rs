//! The client port: RESP2 and RESP3.
