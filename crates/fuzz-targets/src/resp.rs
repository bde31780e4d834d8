use bytes::BytesMut;
use node::resp::{ClientRequest, Limits, ProtocolError, RequestParser};

/// Small, so that a short input can reach them.
const LIMITS: Limits = Limits { max_key_bytes: 64, max_value_bytes: 256, max_args: 64 };

/// What arrives at the client port.
///
/// Requests and the final error come out the same however the bytes are cut, and a request that the parser lets
/// through respects the limits.
pub fn resp(data: &[u8]) {
    let whole = parsed(data, data.len().max(1));
    let cut = parsed(data, 1 + data.first().map_or(0, |&first| usize::from(first % 16)));
    assert_eq!(whole, cut, "the cut of the stream shows in the requests");
    for request in whole.0 {
        if let ClientRequest::Command(args) = request {
            assert!(!args.is_empty() && args.len() <= data.len());
            assert!(args.iter().map(|arg| arg.len()).sum::<usize>() <= data.len(), "bytes from nowhere");
        }
    }
}

fn parsed(data: &[u8], piece: usize) -> (Vec<ClientRequest>, Option<ProtocolError>) {
    let mut parser = RequestParser::new(LIMITS);
    let mut input = BytesMut::new();
    let mut requests = Vec::new();
    for bytes in data.chunks(piece) {
        input.extend_from_slice(bytes);
        loop {
            match parser.parse(&mut input) {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(parser.parse(&mut input), Err(error.clone()), "an error is final");
                    return (requests, Some(error));
                }
            }
        }
    }
    (requests, None)
}
