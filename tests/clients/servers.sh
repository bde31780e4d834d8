# Starts and stops the servers that the scripts are run against. Part of `run`.
# Each has ports of its own, which only this machine reaches, and its data in a directory that is deleted.

server_pids=()
declare -A addresses_of

stop_servers() {
  [ ${#server_pids[@]} -eq 0 ] || { kill "${server_pids[@]}" && wait "${server_pids[@]}"; } 2>/dev/null || true
}

# Whether a port answers PING as a node does that serves.
serves() {
  local line=
  { exec 3<>"/dev/tcp/127.0.0.1/$1" && printf '%b' "$2" >&3 && read -r -t 2 line <&3; } 2>/dev/null || true
  exec 3<&- 3>&-
  [[ $line == "$3"* ]]
}

# Waits until a port serves; ends the run if it does not within half a minute, or if the server that began last has ended.
await_server() {
  for _ in $(seq 300); do
    if serves "$@"; then return; fi
    kill -0 "${server_pids[-1]}" 2>/dev/null || break
    sleep 0.1
  done
  echo "the server on port $1 does not serve:"
  find "$scratch" -name '*.log' -exec tail -n 5 {} +
  exit 1
}

# Ports that nobody listens on now: the first of twenty in a row.
free_ports() {
  local first port
  while :; do
    first=$((20000 + RANDOM % 10000))
    for port in $(seq "$first" $((first + 19))); do
      if { exec 3<>"/dev/tcp/127.0.0.1/$port"; } 2>/dev/null; then continue 2; fi
    done
    echo "$first"
    return
  done
}

# start_server SERVER FLAGS: makes sure that it runs, and says where in the variables that the scripts read.
start_server() {
  local key="$1 $2"
  [ -n "${addresses_of[$key]-}" ] || "start_$1" "$key" "$2"
  read -r KV_NODE KV_CLUSTER KV_SENTINEL <<<"${addresses_of[$key]}"
  export KV_NODE KV_CLUSTER KV_SENTINEL
}

# Three nodes. Each of them takes every key, is a node of a cluster, and is a Sentinel.
start_atomic-kv() {
  local key=$1 flags=$2 first id members nodes directory
  if [ -z "${ATOMIC_KV-}" ]; then
    cargo build --quiet --locked --manifest-path "$root/Cargo.toml" --package atomic-kv --target-dir "$target"
    ATOMIC_KV=$target/debug/atomic-kv
  fi
  first=$(free_ports)
  members="1=127.0.0.1:$((first + 11)),2=127.0.0.1:$((first + 12)),3=127.0.0.1:$((first + 13))"
  nodes="127.0.0.1:$((first + 1)),127.0.0.1:$((first + 2)),127.0.0.1:$((first + 3))"
  directory=$(mktemp --directory "$scratch/nodes-XXXX")
  for id in 1 2 3; do
    # shellcheck disable=SC2086 # The flags are words.
    "$ATOMIC_KV" serve --node-id $id --cluster "$members" --listen "127.0.0.1:$((first + id))" \
      --data-dir "$directory/$id" $flags >"$directory-$id.log" 2>&1 &
    server_pids+=($!)
  done
  # The first start of a cluster needs all nodes.
  for id in 1 2 3; do await_server $((first + id)) 'GET none\r\n' '$-1'; done
  addresses_of[$key]="${nodes%%,*} $nodes $nodes"
}

# One plain server, a Sentinel of it, and one that is a whole cluster.
start_redis() {
  local key=$1 first
  command -v redis-server >/dev/null || { echo "--redis needs redis-server"; exit 2; }
  first=$(free_ports)
  cd "$(mktemp --directory "$scratch/redis-XXXX")"
  echo "sentinel monitor mymaster 127.0.0.1 $first 1" >sentinel.conf
  redis-server --port "$first" --bind 127.0.0.1 --save '' >redis.log & server_pids+=($!)
  redis-server sentinel.conf --sentinel --port $((first + 1)) --bind 127.0.0.1 >sentinel.log & server_pids+=($!)
  redis-server --port $((first + 2)) --bind 127.0.0.1 --save '' --cluster-enabled yes --cluster-announce-ip 127.0.0.1 \
    --cluster-port $((first + 3)) >cluster.log & server_pids+=($!)
  cd "$OLDPWD"
  await_server "$first" 'PING\r\n' +PONG
  await_server $((first + 1)) 'PING\r\n' +PONG
  await_server $((first + 2)) 'PING\r\n' +PONG
  serves $((first + 2)) 'CLUSTER ADDSLOTSRANGE 0 16383\r\n' +OK
  await_server $((first + 2)) 'GET none\r\n' '$-1'
  addresses_of[$key]="127.0.0.1:$first 127.0.0.1:$((first + 2)) 127.0.0.1:$((first + 1))"
}
