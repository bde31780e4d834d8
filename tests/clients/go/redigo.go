// Redigo: strings, deadlines, counters, transactions, scripts and iteration, over a pool.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/gomodule/redigo/redis"
)

// check ends the program unless what should hold does.
func check(holds bool, what string, err error) {
	if !holds || err != nil {
		fmt.Fprintln(os.Stderr, what, err)
		os.Exit(1)
	}
}

func main() {
	pool := &redis.Pool{Dial: func() (redis.Conn, error) { return redis.Dial("tcp", os.Getenv("KV_NODE")) }}
	r, other := pool.Get(), pool.Get()
	const a, b = "redigo:a", "redigo:b"

	text, err := redis.String(r.Do("SET", a, 1, "NX", "EX", 100))
	check(text == "OK", "is set", err)
	_, err = redis.String(r.Do("SET", a, 2, "NX", "EX", 100))
	check(err == redis.ErrNil, "is refused", nil)
	number, err := redis.Int(r.Do("TTL", a))
	check(90 <= number && number <= 100, "has a deadline", err)
	number, err = redis.Int(r.Do("INCRBY", a, 5))
	check(number == 6, "is counted", err)
	_, err = r.Do("PSETEX", b, 50, "x")
	check(true, "is set for a while", err)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		exists, err := redis.Bool(r.Do("EXISTS", b))
		check(time.Now().Before(end), "expires within 10 s", err)
		if !exists {
			break
		}
	}

	// A transaction about one key, WATCH, and a pipeline about several.
	r.Send("MULTI")
	r.Send("SET", a, 1)
	r.Send("INCR", a)
	values, err := redis.Values(r.Do("EXEC"))
	check(len(values) == 2 && values[1] == int64(2), "a transaction", err)
	r.Do("WATCH", a)
	other.Do("SET", a, 5)
	r.Send("MULTI")
	r.Send("SET", a, 9)
	reply, err := r.Do("EXEC")
	check(reply == nil, "WATCH", err)
	r.Send("INCR", a)
	r.Send("INCR", b)
	r.Flush()
	for _, expected := range []int{6, 1} {
		number, err = redis.Int(r.Receive())
		check(number == expected, "a pipeline", err)
	}

	// EVALSHA, and EVAL where it is not known yet.
	script := redis.NewScript(1, "return {redis.call('incrby', KEYS[1], ARGV[1]), KEYS[1]}")
	for _, expected := range []int64{11, 16} {
		values, err = redis.Values(script.Do(r, a, 5))
		check(len(values) == 2 && values[0] == expected, "a script", err)
	}

	names, seen := redis.Args{}, map[string]bool{}
	for n := 0; n < 50; n++ {
		names = names.Add(fmt.Sprintf("redigo:scan:%d", n))
		r.Do("SET", names[n], "v")
	}
	for cursor := "0"; ; {
		page, err := redis.Values(r.Do("SCAN", cursor, "MATCH", "redigo:scan:*", "COUNT", 7))
		check(len(page) == 2, "a page", err)
		cursor, _ = redis.String(page[0], nil)
		found, _ := redis.Strings(page[1], nil)
		for _, name := range found {
			seen[name] = true
		}
		if cursor == "0" {
			break
		}
	}
	number, err = redis.Int(r.Do("UNLINK", names...))
	check(len(seen) == 50 && number == 50, "is found", err)
}
