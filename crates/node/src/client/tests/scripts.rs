//! Scripts in a pipeline: whichever key they turn out to be about, no request of their connection overtakes them, or is overtaken.
use super::*;
use crate::functions::FunctionAnswer;
use abd::Version;
use alloc::vec;

/// How a script ends that is about another key, or that has answered.
fn ended(answer: FunctionAnswer) -> Outcome {
    Outcome::Updated { answers: vec![answer.encode()], version: Version::MIN }
}

/// The first operation that has begun ends so.
fn end(world: &World, outcome: Outcome) -> Operation {
    let (_, operation, back) = world.running.borrow_mut().pop_front().expect("one has begun");
    back.send(outcome);
    operation
}

#[test]
fn a_script_that_names_no_key_or_several_is_alone() {
    for script in ["EVAL s 0", "EVAL s 2 a b"] {
        let world = World::new();
        let mut client = Client::over_resp(&world);
        client.send(alloc::format!("GET x\r\n{script}\r\nGET k\r\n"));
        assert_eq!(world.begun.get(), 1, "the script waits for what is before it");
        assert!(world.run());
        client.go();
        assert_eq!(world.begun.get(), 2, "what is behind it waits for the script");
        end(&world, ended(FunctionAnswer::OtherKey("k".into())));
        client.go();
        assert_eq!(world.begun.get(), 3);
        let again = end(&world, ended(FunctionAnswer::Reply("+OK\r\n".into())));
        assert_eq!(again.key(), "k");
        client.go();
        assert_eq!(world.begun.get(), 4);
        assert_eq!(client.replies(), "$-1\r\n+OK\r\n$-1\r\n");
    }
}

#[test]
fn a_script_is_not_run_anew_where_requests_behind_it_have_begun() {
    let world = World::new();
    let mut client = Client::over_resp(&world);
    client.send("EVAL s 1 a\r\nGET k\r\nGET l\r\n");
    assert_eq!(world.begun.get(), 3, "it has one key, and they have others");
    end(&world, ended(FunctionAnswer::OtherKey("k".into())));
    let replies = client.replies();
    assert!(replies.starts_with("-ERR the script had no effect"), "{replies}");
    // Where nobody is in its way it is.
    client.send("EVAL s 1 a\r\nGET k\r\n");
    end(&world, ended(FunctionAnswer::OtherKey("m".into())));
    client.go();
    let running = world.running.borrow();
    assert_eq!(running.back().map(|(_, operation, _)| operation.key().clone()), Some("m".into()));
}
