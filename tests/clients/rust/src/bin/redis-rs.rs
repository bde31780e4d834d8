//! redis-rs: plain, asynchronous and cluster clients; deadlines, counters, transactions and scripts.

use clients::{eventually, urls};
use redis::cluster::ClusterClient;
use redis::{
    AsyncCommands, Client, Commands, ExistenceCheck, RedisResult, Script, SetExpiry, SetOptions,
    TypedCommands, pipe,
};
use std::collections::BTreeSet;

fn main() -> RedisResult<()> {
    plain()?;
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(asynchronous())?;
    cluster()
}

fn plain() -> RedisResult<()> {
    let mut r = Client::open(urls("KV_NODE").remove(0))?.get_connection()?;
    let (a, b) = ("redis-rs:a", "redis-rs:b");
    let once = SetOptions::default().conditional_set(ExistenceCheck::NX).with_expiration(SetExpiry::EX(100));
    assert_eq!(
        Commands::set_options::<_, _, Option<String>>(&mut r, a, 1, once.clone())?.as_deref(),
        Some("OK")
    );
    assert_eq!(Commands::set_options::<_, _, Option<String>>(&mut r, a, 1, once)?, None);
    assert!((90..=100).contains(&Commands::ttl::<_, i64>(&mut r, a)?));
    assert!(TypedCommands::persist(&mut r, a)? && !TypedCommands::persist(&mut r, a)?);
    assert_eq!(TypedCommands::incr(&mut r, a, 5)?, 6);
    TypedCommands::mset(&mut r, &[(a, "1"), (b, "2")])?;
    assert_eq!(
        Commands::mget::<_, Vec<Option<i64>>>(&mut r, &[a, b, "redis-rs:none"])?,
        [Some(1), Some(2), None]
    );
    assert_eq!(TypedCommands::get_del(&mut r, b)?.as_deref(), Some("2"));
    TypedCommands::pset_ex(&mut r, b, "x", 50)?;
    eventually(|| !TypedCommands::exists(&mut r, b).unwrap());

    // A transaction about one key; one that compares and sets; a plain pipeline about many.
    let replies: (i64, i64) = pipe().atomic().set(a, 1).ignore().incr(a, 1).incr(a, 1).query(&mut r)?;
    assert_eq!(replies, (2, 3));
    let (raised,): (i64,) = redis::transaction(&mut r, &[a], |r, pipe| {
        let value: i64 = Commands::get(r, a)?;
        pipe.set(a, value * 10).ignore().get(a).query(r)
    })?;
    assert_eq!(raised, 30);
    let mut many = pipe();
    for n in 0..50 {
        many.set_ex(format!("redis-rs:scan:{n}"), n, 100).ignore();
    }
    many.exec(&mut r)?;

    let found: BTreeSet<String> =
        Commands::scan_match(&mut r, "redis-rs:scan:*")?.collect::<RedisResult<_>>()?;
    assert_eq!(found.len(), 50);
    assert_eq!(TypedCommands::unlink(&mut r, found.into_iter().collect::<Vec<_>>())?, 50);

    // EVALSHA, and SCRIPT LOAD where it is not known yet.
    let script = Script::new("return {redis.call('incrby', KEYS[1], ARGV[1]), ARGV[1]}");
    redis::cmd("SCRIPT").arg("FLUSH").exec(&mut r)?;
    for expected in [35, 40] {
        assert_eq!(script.key(a).arg(5).invoke::<(i64, String)>(&mut r)?, (expected, "5".to_owned()));
    }
    Ok(())
}

async fn asynchronous() -> RedisResult<()> {
    let r = Client::open(urls("KV_NODE").remove(0))?.get_multiplexed_async_connection().await?;
    let (mut one, mut two) = (r.clone(), r);
    let key = "redis-rs:async";
    let _: () = AsyncCommands::set_ex(&mut one, key, 1, 100).await?;
    let both: (RedisResult<i64>, RedisResult<i64>) =
        tokio::join!(AsyncCommands::incr(&mut one, key, 1), AsyncCommands::incr(&mut two, key, 1));
    assert_eq!(both.0? + both.1?, 5);
    let script = Script::new("return redis.call('pttl', KEYS[1])");
    assert!(script.key(key).invoke_async::<i64>(&mut one).await? > 90_000);
    Ok(())
}

fn cluster() -> RedisResult<()> {
    let mut r = ClusterClient::new(urls("KV_CLUSTER"))?.get_connection()?;
    for n in 0..100 {
        Commands::set_ex::<_, _, ()>(&mut r, format!("redis-rs-cluster:{n}"), n, 100)?;
    }
    for n in 0..100 {
        assert_eq!(Commands::get::<_, i64>(&mut r, format!("redis-rs-cluster:{n}"))?, n);
    }
    let key = "redis-rs-cluster:counter";
    Commands::set::<_, _, ()>(&mut r, key, 0)?;
    assert_eq!(Commands::incr::<_, _, i64>(&mut r, key, 1)?, 1);
    assert_eq!(Script::new("return redis.call('incr', KEYS[1])").key(key).invoke::<i64>(&mut r)?, 2);
    Ok(())
}
