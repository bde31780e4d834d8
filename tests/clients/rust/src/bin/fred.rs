//! fred: plain, cluster and Sentinel clients; deadlines, counters, transactions and scripts.

use clients::{MASTER, addresses};
use fred::prelude::*;
use fred::types::RespVersion;
use fred::types::scripts::Script;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> FredResult<()> {
    let (host, port) = addresses("KV_NODE").remove(0);
    for version in [RespVersion::RESP2, RespVersion::RESP3] {
        plain(Config { server: ServerConfig::new_centralized(&host, port), version, ..Config::default() })
            .await?;
    }
    let cluster = ServerConfig::new_clustered(addresses("KV_CLUSTER"));
    elsewhere(Config { server: cluster, ..Config::default() }).await?;
    let sentinel = ServerConfig::new_sentinel(addresses("KV_SENTINEL"), MASTER);
    elsewhere(Config { server: sentinel, ..Config::default() }).await
}

async fn connect(config: Config) -> FredResult<Client> {
    let client = Builder::from_config(config).build()?;
    client.init().await?;
    Ok(client)
}

/// What a plain client does, over a version of the protocol.
async fn plain(config: Config) -> FredResult<()> {
    let r = connect(config).await?;
    let (a, b) = ("fred:a", "fred:b");
    let _: u32 = r.del(vec![a, b]).await?;
    let lease = Some(Expiration::EX(100));
    let taken: Option<String> = r.set(a, 1, lease.clone(), Some(SetOptions::NX), false).await?;
    assert_eq!(taken.as_deref(), Some("OK"));
    let refused: Option<String> = r.set(a, 2, lease, Some(SetOptions::NX), false).await?;
    assert_eq!(refused, None);
    assert!((90..=100).contains(&r.ttl::<i64, _>(a).await?));
    assert!(r.persist::<bool, _>(a).await?);
    assert_eq!(r.incr_by::<i64, _>(a, 5).await?, 6);
    let _: () = r.mset(vec![(a, 1), (b, 2)]).await?;
    assert_eq!(r.mget::<Vec<Option<i64>>, _>(vec![a, b, "fred:none"]).await?, [Some(1), Some(2), None]);
    assert_eq!(r.getdel::<i64, _>(b).await?, 2);
    let _: () = r.set(b, "x", Some(Expiration::PX(50)), None, false).await?;
    for attempt in 0.. {
        if r.exists::<i64, _>(b).await? == 0 {
            break;
        }
        assert!(attempt < 500, "not within 10 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // A transaction about one key, and a pipeline about several.
    let transaction = r.multi();
    let _: () = transaction.set(a, 1, None, None, false).await?;
    let _: () = transaction.incr(a).await?;
    let _: () = transaction.get(a).await?;
    assert_eq!(transaction.exec::<(String, i64, i64)>(true).await?, ("OK".to_owned(), 2, 2));
    let pipeline = r.pipeline();
    let _: () = pipeline.incr(a).await?;
    let _: () = pipeline.incr(b).await?;
    assert_eq!(pipeline.all::<Vec<i64>>().await?, [3, 1]);

    // EVALSHA, after SCRIPT LOAD.
    let script = Script::from_lua("return {redis.call('incrby', KEYS[1], ARGV[1]), ARGV[1]}");
    script.load(&r).await?;
    let reply: (i64, String) = script.evalsha(&r, vec![a], vec![5]).await?;
    assert_eq!(reply, (8, "5".to_owned()));
    r.quit().await
}

/// Whether a client that finds its server by itself works there.
async fn elsewhere(config: Config) -> FredResult<()> {
    let r = connect(config).await?;
    for n in 0..50 {
        let _: () = r.set(format!("fred:{n}"), n, Some(Expiration::EX(100)), None, false).await?;
    }
    for n in 0..50 {
        assert_eq!(r.incr::<i64, _>(format!("fred:{n}")).await?, n + 1);
    }
    r.quit().await
}
