//! A node that is none: it speaks RESP, and answers what a test says.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

/// The answer to a command: a text, or an error line.
pub(crate) type Answer = Result<String, String>;

/// A node that answers by a function.
pub(crate) struct Fake {
    pub(crate) address: String,
    /// What it was asked, each command in a line.
    pub(crate) asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub(crate) fn node(mut answer: impl FnMut(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let noted = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut input) = (stream.unwrap(), Vec::new());
                while let Some(line) = command(&mut stream, &mut input) {
                    noted.lock().unwrap().push(line.clone());
                    let reply = match answer(&line) {
                        Ok(text) => format!("${}\r\n{text}\r\n", text.len()),
                        Err(text) => format!("-{text}\r\n"),
                    };
                    if stream.write_all(reply.as_bytes()).is_err() {
                        break;
                    }
                }
            }
        });
        Self { address, asked }
    }

    /// Answers these in turn, and the last one for ever.
    pub(crate) fn with(answers: &[Answer]) -> Self {
        let (answers, mut turn) = (answers.to_vec(), 0);
        Self::node(move |_| {
            let answer = answers[turn.min(answers.len() - 1)].clone();
            turn += 1;
            answer
        })
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

/// The words of the next command, which is an array of bulk strings; `None` at the end of the connection.
fn command(stream: &mut impl Read, input: &mut Vec<u8>) -> Option<String> {
    loop {
        let text = String::from_utf8_lossy(input).into_owned();
        let lines: Vec<&str> = text.split("\r\n").collect();
        let count = lines
            .first()
            .and_then(|line| line.strip_prefix('*'))
            .and_then(|count| count.parse::<usize>().ok());
        if let Some(count) = count
            && lines.len() > 2 * count + 1
        {
            let words: Vec<&str> = (1..=count).map(|word| lines[2 * word]).collect();
            input.clear();
            return Some(words.join(" "));
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(read) => input.extend_from_slice(&chunk[..read]),
        }
    }
}
