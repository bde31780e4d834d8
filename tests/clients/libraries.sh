# Installs the libraries, says which scripts cannot run here and why, and runs one. Part of `run`.
# What requirements.txt, package-lock.json and Cargo.lock pin is installed; of PHP, Ruby and Go what the system has is used.

# lacks NAME: says what this machine does not have of what the script needs; fails if there is nothing.
lacks() {
  case $1 in
    python/differential) command -v redis-server >/dev/null || { echo "no redis-server to compare with"; return; } ;;&
    python/*) command -v python3 >/dev/null || { echo "no Python"; return; } ;;
    node/*) command -v npm >/dev/null || { echo "no Node.js with npm"; return; } ;;
    php/phpredis) php -r 'exit((int) !extension_loaded("redis"));' &>/dev/null || { echo "no PHP with phpredis"; return; } ;;
    php/predis) php -r 'exit((int) !@include "Predis/autoload.php");' &>/dev/null || { echo "no PHP with Predis"; return; } ;;
    ruby/redis-rb) ruby -e 'require "redis"' &>/dev/null || { echo "no Ruby with redis-rb"; return; } ;;
    ruby/rails-cache)
      ruby -e 'require "redis"; require "active_support"' &>/dev/null || { echo "no Ruby with redis-rb and Active Support"; return; } ;;
    go/redigo) [ -d "$go_path/src/github.com/gomodule/redigo" ] && command -v go >/dev/null || { echo "no Go with Redigo"; return; } ;;
  esac
  # Once for all scripts of a language: an empty file says that all is well.
  local language=${1%%/*} log
  log=$scratch/$language.log
  [ -e "$scratch/$language.lacks" ] || if "install_$language" </dev/null &>"$log"; then
    : >"$scratch/$language.lacks"
  else
    echo "cannot be installed: $(tail -n 1 "$log")" >"$scratch/$language.lacks"
  fi
  grep . "$scratch/$language.lacks"
}

# What the files say, in short: kept beside what was installed from them.
stamp() { cat "$@" | sha256sum; }

install_python() {
  local there=$installed/python
  [ "$(stamp python/requirements.txt)" = "$(cat "$there/stamp")" ] && return
  rm -rf "$there" && python3 -m venv "$there" &&
    "$there/bin/pip" install --quiet --no-deps --requirement python/requirements.txt &&
    stamp python/requirements.txt >"$there/stamp"
}

# The scripts go along: Node.js looks for packages beside them.
install_node() {
  local there=$installed/node
  mkdir -p "$there" && cp node/* node/.npmrc "$there" || return
  [ "$(stamp node/package-lock.json)" = "$(cat "$there/stamp")" ] && return
  npm ci --silent --prefix "$there" && stamp node/package-lock.json >"$there/stamp"
}

# That a script does not compile is no reason to skip it: `run_script` compiles.
install_rust() { cargo fetch --quiet --locked --manifest-path rust/Cargo.toml; }

install_php() { :; }
install_ruby() { :; }
install_go() { :; }

go_path=/usr/share/gocode

# run_script NAME: compiles it if need be, and runs it for two minutes at the most.
run_script() {
  local script=${1#*/}
  case $1 in
    python/*) set -- "$installed/python/bin/python" "python/$script.py" ;;
    node/*) set -- node "$installed/node/$script.mjs" ;;
    rust/*)
      cargo build --quiet --locked --manifest-path rust/Cargo.toml --target-dir "$installed/rust" --bin "$script" || return
      set -- "$installed/rust/debug/$script" ;;
    php/*) set -- php "php/$script.php" ;;
    ruby/*) set -- ruby "ruby/$script.rb" ;;
    go/*)
      GOPATH=$go_path GO111MODULE=off go build -o "$installed/$script" "go/$script.go" || return
      set -- "$installed/$script" ;;
  esac
  PYTHONDONTWRITEBYTECODE=1 timeout 120 "$@"
}
