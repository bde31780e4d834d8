# Where the server is, as `run` says, and how to check and to wait for what takes its time.

URL = "redis://#{ENV.fetch('KV_NODE')}/0".freeze

def check(holds, what)
  holds or raise what
end

def eventually
  finish = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 10
  until yield
    check(Process.clock_gettime(Process::CLOCK_MONOTONIC) < finish, 'not within 10 s')
    sleep 0.02
  end
end
