-- What has to be Lua: functions that call functions of the script, so that these may be interrupted, yield and fail as usual.
-- It is loaded without its line numbers, so that errors in it do not tell of places that no script has.
local native, host = ...

local pcall, xpcall, resume, create = native.pcall, native.xpcall, native.coroutine.resume, native.coroutine.create
local sort, foreachi, rawget = native.table.sort, native.table.foreachi, native.rawget
local error, type, select = native.error, native.type, native.select
local caught, seen, resumes_max = host.caught, host.seen, host.resumes_max

local lib = {}

-- Whatever is caught goes through `caught`, which raises once more what ends the script.
local function settle(ok, ...)
  if ok then return true, ... end
  return false, caught((...))
end

local function settle_text(ok, ...)
  if ok then return true, ... end
  local err = caught((...))
  if type(err) == 'table' then
    local text = err.err
    if type(text) == 'string' or type(text) == 'number' then err = text end
  end
  return false, err
end

-- As in Redis, an error of a command is its text here.
function lib.pcall(...)
  if select('#', ...) == 0 then return false end
  return settle_text(pcall(...))
end

function lib.xpcall(f, handler)
  return settle(xpcall(f, function(err)
    local value, stops = seen(err)
    if stops then return err end
    return handler(value)
  end))
end

-- Each coroutine that is resumed within another has a part of the stack of the thread.
local resumes = 0

local function resumed(...)
  resumes = resumes - 1
  return settle(...)
end

function lib.resume(co, ...)
  if type(co) ~= 'thread' then error('bad argument #1 to \'resume\' (coroutine expected)', 2) end
  if resumes >= resumes_max then return false, 'C stack overflow' end
  resumes = resumes + 1
  return resumed(resume(co, ...))
end

local function unwrap(ok, ...)
  if ok then return ... end
  error((...), 0)
end

function lib.wrap(f)
  local co = create(f)
  return function(...) return unwrap(lib.resume(co, ...)) end
end

-- A comparison in C is not interrupted; there are orders of elements that take the square of their number.
local function less(a, b) return a < b end

function lib.sort(t, compare)
  if type(t) == 'table' and #t > 1000 then
    local given = compare
    if given == nil then compare = less end
    if type(given) == 'function' then compare = function(a, b) return (given(a, b)) end end
  end
  return sort(t, compare)
end

-- Lua's own is not interrupted if it calls a function in C.
function lib.foreachi(t, f)
  if type(t) ~= 'table' or type(f) ~= 'function' then return foreachi(t, f) end
  for at = 1, #t do
    local result = f(at, rawget(t, at))
    if result ~= nil then return result end
  end
end

-- Runs a script.
function lib.run(chunk, handler)
  resumes = 0
  return xpcall(chunk, handler)
end

return lib
