return 1
--
return -1
--
return 3.99
--
return -3.99
--
return 9.9e30
--
return 0/0
--
return 1/0
--
return 2^53
--
return 'hello'
--
return ''
--
return 'a\r\nb\0c'
--
return true
--
return false
--
return nil
--
return
--
return {}
--
return {1,2,3}
--
return {1,nil,3}
--
return {1,2,nil}
--
return {1,{2,{3,{4}}},'x',true,false}
--
return {nil,1}
--
return {a=1}
--
return {1,2,a=3}
--
return {ok='fine'}
--
return {ok='fine\r\nfoo'}
--
return {ok=5}
--
return {err='ERR bad'}
--
return {err='bad'}
--
return {err='ERR two\r\nlines'}
--
return {err=5}
--
return {double=1.5}
--
return {double=3}
--
return {double=-0.1}
--
return {double=1e300}
--
return {double=1/0}
--
return {double='x'}
--
return {big_number='12345678901234567890'}
--
return {big_number='12\r\n34'}
--
return {big_number=5}
--
return {verbatim_string={format='txt',string='abc'}}
--
return {verbatim_string={format='txt'}}
--
return {verbatim_string='x'}
--
return {map={a=1}}
--
return {map={[1]={2,3}}}
--
return {map='x'}
--
return {set={a=true}}
--
return {set={[5]=1}}
--
return {set=5}
--
return {map={}}
--
return {set={}}
--
return function() end
--
return coroutine.create(function() end)
--
return cjson.null
--
return KEYS
--
return ARGV
--
return {KEYS[1],KEYS[2],KEYS[3],ARGV[1]}
--
return #KEYS + #ARGV
--
return {1,2,{err='ERR nested'},4}
--
return {1,{ok='nested'}}
--
return '1' + 1
--
return 10 .. ''
--
return 1e15 .. ''
--
return 1e14 .. ' ' .. 123456789012345678 .. ' ' .. 0.1 .. ' ' .. -0.0
--
return redis.call('ping')
--
return redis.call('PING')
--
return redis.call('echo','x')
--
return redis.call('get','nokey')
--
return redis.call('mget','nokey','nokey2')
--
redis.call('set','k',3.1) return redis.call('get','k')
--
redis.call('set','k',100000000000) return redis.call('get','k')
--
redis.call('set','k',1e20) return redis.call('get','k')
--
redis.call('set','k',12345678901234567890) return redis.call('get','k')
--
redis.call('set','k',-7) return redis.call('get','k')
--
redis.call('set','k',0.1) return redis.call('get','k')
--
redis.call('set','k',1/3) return redis.call('get','k')
--
redis.call('set','k',1/0) return redis.call('get','k')
--
redis.call('set','k',2^60) return redis.call('get','k')
--
redis.call('set','k','a\0b') return #redis.call('get','k')
--
return redis.call('set','k','x')
--
return redis.call('set','k','x')['ok']
--
return redis.call('set','k','x').ok
--
return type(redis.call('get','nokey'))
--
return redis.call('get','nokey') == false
--
return redis.call('nosuch')
--
return redis.call('set','k')
--
local x = redis.call('nosuch') return 1
--
return redis.pcall('nosuch')
--
return redis.pcall('nosuch').err
--
local r = redis.pcall('nosuch') return r
--
return {redis.pcall('nosuch'), 1}
--
redis.call('set','k','x') return redis.call('incr','k')
--
redis.call('set','k','x') return redis.pcall('incr','k').err
--
redis.call('set','k','41') return redis.call('incr','k')
--
redis.call('set','k','41') return redis.call('incr','k') + 0.5
--
return redis.call()
--
return redis.pcall()
--
return redis.call({})
--
return redis.call('get', true)
--
return redis.call('get', nil)
--
return redis.pcall('get', {})
--
return redis.call('echo', 5)
--
return redis.call(5)
--
return redis.error_reply('x')
--
return redis.error_reply('x y')
--
return redis.error_reply('-x y')
--
return redis.error_reply('ERR x y\r\n')
--
return redis.error_reply(1)
--
return redis.error_reply()
--
return redis.error_reply('a','b')
--
return redis.error_reply('My Err').err
--
return redis.status_reply('x')
--
return redis.status_reply('x').ok
--
return redis.status_reply(1)
--
return redis.status_reply()
--
return redis.sha1hex('')
--
return redis.sha1hex('hello')
--
return redis.sha1hex(12)
--
return redis.sha1hex()
--
return redis.sha1hex(nil)
--
return redis.sha1hex('a','b')
--
return redis.log(1)
--
return redis.log('x','y')
--
return redis.log(7,'y')
--
return redis.log(redis.LOG_DEBUG,'y')
--
return redis.setresp(4)
--
return redis.setresp()
--
return redis.setresp(3)
--
redis.setresp(3) return true
--
redis.setresp(3) return false
--
redis.setresp(3) return {true,false,nil}
--
redis.setresp(3) return {true,{false}}
--
redis.setresp(3) return redis.call('get','nokey')
--
redis.setresp(3) return redis.call('get','nokey') == nil
--
redis.setresp(3) redis.setresp(2) return redis.call('get','nokey') == false
--
return redis.replicate_commands()
--
return redis.set_repl(redis.REPL_ALL)
--
return redis.set_repl(99)
--
return redis.set_repl()
--
return {redis.LOG_DEBUG,redis.LOG_VERBOSE,redis.LOG_NOTICE,redis.LOG_WARNING}
--
return {redis.REPL_NONE,redis.REPL_AOF,redis.REPL_SLAVE,redis.REPL_REPLICA,redis.REPL_ALL}
--
return {redis.REDIS_VERSION, redis.REDIS_VERSION_NUM}
--
return {redis.acl_check_cmd('get','x'), redis.acl_check_cmd('set','x')}
--
return redis.acl_check_cmd('xyz')
--
return redis.acl_check_cmd()
--
return redis.breakpoint()
--
return redis.debug('x')
--
return redis.nosuch
--
return redis.nosuch()
--
error('x')
--
error('x',0)
--
error('x',1)
--
error('x',2)
--
error({err='My Err'})
--
error({err='MyErr'})
--
error()
--
error(nil)
--
error(5)
--
error(true)
--
return error('a b c')
--
local function f() error('deep') end f()
--
local function f() return error('deep') end return f()
--
local function f() redis.call('nosuch') end f()
--
return x
--
x = 1
--
x.y = 1
--
return _G.x
--
_G.x = 1
--
rawset(_G,'x',1)
--
setmetatable(_G,{})
--
getmetatable(_G).__index = 1
--
redis.call = 1
--
redis.newone = 1
--
string.find = 1
--
math.pi = 3
--
cjson.encode = 1
--
cjson.null = 1
--
bit.band = 1
--
coroutine.resume = 1
--
table.insert(redis, 1)
--
KEYS[5] = 'x' return KEYS[5]
--
KEYS = {1}
--
local t = {} t.x = 1 return t.x
--
return type(getmetatable(_G))
--
getmetatable('').__index = 1
--
return getmetatable('').__index == string
--
return print
--
return io
--
return require
--
return dofile
--
return loadfile
--
return debug
--
return module
--
return package
--
for k in pairs(nil) do end
--
for i,v in ipairs(nil) do end
--
return (
--
return 1 +
--
x x
--
if true then
--
return 'abc
--
return string.find(1)
--
return string.find('abc','b')
--
return {string.find('abc','b')}
--
return {string.find('abc','(b)(c)')}
--
return {string.find('abc','()b()')}
--
return {string.find('a.c','.',1,true)}
--
return {string.find('a.c','%.')}
--
return {string.find('abc','b',-1)}
--
return {string.find('abc','b',-5)}
--
return {string.find('abc','',10)}
--
return {string.find('abc','')}
--
return {string.find('abc','^b')}
--
return {string.find('abc','c$')}
--
return {string.find('a$c','$c')}
--
return {string.match('key=value','(%w+)=(%w+)')}
--
return {string.match('  trim  ','^%s*(.-)%s*$')}
--
return {string.match('2024-01-02','(%d+)-(%d+)-(%d+)')}
--
return {string.match('abc','x')}
--
return {string.match('[[x]]','%[%[(.-)%]%]')}
--
return {string.match('f(a(b)c)d','%b()')}
--
return {string.match('THE (quick) fox','%f[%a]%a+%f[%A]')}
--
return {string.match('aXb','%u')}
--
return {string.match('hello','(h)(e)(l)(l)(o)')}
--
return {string.match('abab','(ab)%1')}
--
return {string.match('x','[%]]')}
--
return {string.match(']','[]]')}
--
return {string.match('a-b','[a%-]+')}
--
return {string.match('a^b','[%^b]+')}
--
return {string.match('abc','[^a]+')}
--
return {string.match('abc','[a-b]*')}
--
return {string.match('abc','b?c')}
--
return {string.match('aaa','a-b')}
--
return {string.match('0x1F','^0x(%x+)$')}
--
return string.match('abc','(')
--
return string.match('abc','%')
--
return string.match('abc','[a')
--
return string.match('abc','a)')
--
return string.match('abc','%1')
--
return string.match('abc','%b')
--
return string.match('abc','%fa')
--
return string.match('abc',('(a)'):rep(33))
--
return {string.gsub('hello world','o','0')}
--
return {string.gsub('hello world','o','0',1)}
--
return {string.gsub('hello world','(%w+)','<%1>')}
--
return {string.gsub('hello','','-')}
--
return {string.gsub('abc','%w','%0%0')}
--
return {string.gsub('abc','b','%%')}
--
return {string.gsub('$name is $age','%$(%w+)',{name='Bob',age=5})}
--
return {string.gsub('abc','.',function(c) return c:upper() end)}
--
return {string.gsub('abc','b',function() return false end)}
--
return {string.gsub('abc','b',function() end)}
--
return {string.gsub('abc','(a)(b)',function(a,b) return b..a end)}
--
return string.gsub('abc','b',function() return {} end)
--
return string.gsub('abc','b',function() error('in it') end)
--
return string.gsub('abc','b',function() return redis.call('nosuch') end)
--
return string.gsub('abc','b',true)
--
return string.gsub('abc','(b','x')
--
return string.gsub('abc','b','%2')
--
return {string.gsub('abc','^a','x')}
--
return {string.gsub('aaa','^a','x')}
--
local t={} for w in string.gmatch('one two three','%a+') do t[#t+1]=w end return t
--
local t={} for k,v in string.gmatch('a=1, b=2','(%w+)=(%w+)') do t[#t+1]=k..v end return t
--
local t={} for w in string.gmatch('abc','') do t[#t+1]='x' end return #t
--
local t={} for w in string.gfind('a b','%a') do t[#t+1]=w end return t
--
return string.rep('ab',3)
--
return string.rep('ab',0)
--
return string.rep('ab',-1)
--
return string.rep()
--
return ('x'):rep({})
--
return ('x'):rep('3')
--
return ('x'):bad()
--
return ('abc'):upper():lower():len()
--
return ('abc'):sub(2)
--
return ('abc'):sub(-2,-2)
--
return ('abc'):byte(1,-1)
--
return {('abc'):byte(1,-1)}
--
return string.char(72,105)
--
return string.char(256)
--
return string.format('%5d|%-5d|%05d|%x|%X|%o', 42, 42, 42, 255, 255, 8)
--
return string.format('%5.2f|%e|%g', 3.14159, 12345.678, 0.0001)
--
return string.format('%q', 'a"b\n\0c')
--
return string.format('%s %s', 1, true)
--
return string.format('%s', {})
--
return string.format('%d', '10')
--
return string.format('%d', 'x')
--
return string.format('%y', 1)
--
return string.format('%s')
--
return string.reverse('abc')
--
return table.concat({1,2,3},',')
--
return table.concat({1,2,3},',',2,3)
--
return table.concat({{}})
--
return table.concat({1,nil,3})
--
local t={3,1,2} table.sort(t) return t
--
local t={3,1,2} table.sort(t,function(a,b) return a>b end) return t
--
local t={3,'x',2} table.sort(t) return t
--
local t={'b','a'} table.sort(t) return t
--
local t={1,2} table.insert(t,3) return t
--
local t={1,2} table.insert(t,1,0) return t
--
local t={1,2} table.insert(t,3,9) return t
--
local t={1,2} table.insert(t) return t
--
local t={1,2} table.insert(t,1,2,3) return t
--
table.insert(nil,1)
--
table.insert({},'x',1)
--
local t={1,2,3} return {table.remove(t),table.remove(t,1),#t}
--
return table.remove({})
--
return table.getn({1,2})
--
return table.maxn({1,2,[10]=3})
--
return {unpack({1,2,3})}
--
return {unpack({1,2,3},2)}
--
return {unpack({1,2,3},2,3)}
--
return unpack({},1,8000)
--
return select('#',unpack({},1,100))
--
return select('#',1,nil,nil)
--
return {select(2,'a','b','c')}
--
return select(0)
--
return {pcall(error,'x')}
--
return {pcall(error,{err='a'})}
--
return {pcall(error,{a=1})}
--
return {pcall(function() return 1,2 end)}
--
return {pcall(redis.call,'nosuch')}
--
return {pcall(redis.call,'set','k','v')}
--
local ok,e = pcall(redis.call,'nosuch') return type(e)..tostring(e)
--
local ok,e = pcall(function() local x = nil; return x.y end) return e
--
local ok,e = pcall(function() return x end) return e
--
local ok,e = pcall(function() x = 1 end) return e
--
local ok,e = pcall(string.rep) return e
--
local ok,e = pcall(string.find,'a','(') return e
--
local ok,e = pcall(cjson.decode,'x') return e
--
return {xpcall(function() return 1 end, function(e) return e end)}
--
return {xpcall(function() error('x') end, function(e) return 'caught '..e end)}
--
return {xpcall(function() return redis.call('nosuch') end, function(e) return type(e)..e.err end)}
--
return {xpcall(function() error('x') end, function(e) error('y') end)}
--
return pcall()
--
local co = coroutine.create(function(a) local b = coroutine.yield(a+1) return b*2 end) local _,x = coroutine.resume(co,1) local _,y = coroutine.resume(co,10) return {x,y,coroutine.status(co)}
--
local f = coroutine.wrap(function() for i=1,3 do coroutine.yield(i) end end) return {f(),f(),f()}
--
local co = coroutine.create(function() error('x') end) local ok,e = coroutine.resume(co) return {tostring(ok),e}
--
local co = coroutine.create(function() return redis.call('nosuch') end) local ok,e = coroutine.resume(co) return {type(e),e.err}
--
local co = coroutine.create(function() end) coroutine.resume(co) return {coroutine.resume(co)}
--
return coroutine.status(coroutine.create(function() end))
--
coroutine.yield(1)
--
return tostring(coroutine.running())
--
local s = 0 for i=1,100 do s = s + i end return s
--
local function fib(n) if n < 2 then return n end return fib(n-1) + fib(n-2) end return fib(15)
--
local function f() return f()+1 end return f()
--
return loadstring('return 1+1')()
--
return {loadstring('x x')}
--
local f,e = loadstring('x x','=foo') return e
--
local f,e = loadstring('x x','@foo') return e
--
local f,e = loadstring('(') return e
--
return loadstring('return foo')()
--
return loadstring('error("in")')()
--
return tostring(loadstring(string.dump(function() return 1 end)))
--
local n=0 return load(function() n=n+1 return ({'return ','42'})[n] end)()
--
return assert(false)
--
return assert(nil,'msg')
--
return assert(1,2)
--
return assert()
--
return tonumber('0x10')
--
return tonumber('10',2)
--
return tonumber('z',36)
--
return tonumber('x') == nil
--
return tostring(nil)..tostring(true)..tostring(1.5)
--
return type(tostring)
--
return rawequal('a','a')
--
return rawget({1},1)
--
local t = setmetatable({},{__index=function(t,k) return k..'!' end}) return t.x
--
local t = setmetatable({},{__index=function(t,k) error('boo') end}) return t.x
--
local t = setmetatable({},{__metatable='locked'}) return getmetatable(t)
--
local t = setmetatable({},{__metatable='locked'}) setmetatable(t,{})
--
setmetatable(1,{})
--
setmetatable({},1)
--
setmetatable({})
--
local t = setmetatable({},{__tostring=function() return 'me' end}) return tostring(t)
--
local t = setmetatable({},{__call=function(self,a) return a end}) return t(5)
--
local t = setmetatable({},{__eq=function() return true end}) return t
--
local a = setmetatable({1},{__add=function(a,b) return 7 end}) return a+a
--
local a = setmetatable({},{__concat=function(a,b) return 'cc' end}) return a..'x'
--
local a = setmetatable({},{__lt=function() return true end}) local b = setmetatable({},getmetatable(a)) return a<b
--
return #setmetatable({},{__index={1,2}})
--
return next({})
--
local k,v = next({a=1}) return {k,v}
--
return 1 .. {}
--
return 1 + {}
--
return 1 < 'x'
--
return {} < {}
--
return nil > 1
--
local a; return a.b
--
local a = {}; return a.b.c
--
local a = {}; a.b.c = 1
--
local a = {}; a[nil] = 1
--
return #5
--
return -{}
--
a()
--
local a = 5; a()
--
return math.floor(3.7)
--
return math.random()
--
return {math.random(100),math.random(100),math.random(1000000)}
--
return tostring(math.random())..' '..tostring(math.random())
--
math.randomseed(42) return {math.random(1000),math.random(1000)}
--
math.randomseed(-1) return {math.random(1000),math.random(5,10)}
--
return math.random(0)
--
return math.random(2,1)
--
return math.random(1,2,3)
--
return math.max(1,5,3)
--
return math.huge
--
return -math.huge
--
return math.pi
--
return math.fmod(7,3)
--
return {math.modf(3.7)}
--
return math.pow(2,10)
--
return cjson.encode({1,2,3})
--
return cjson.encode({})
--
return cjson.encode({a=1})
--
return cjson.encode({1,2,{a={}}})
--
return cjson.encode({[1]=1,[2]=2,[4]=4})
--
return cjson.encode({[50]=1})
--
return cjson.encode({[0]=1})
--
return cjson.encode({[1.5]=1})
--
return cjson.encode({[-1]=1})
--
return cjson.encode('a"b\\c/d\b\f\n\r\t\0\31\127é')
--
return cjson.encode(1/3)
--
return cjson.encode(1e100)
--
return cjson.encode(-0.0)
--
return cjson.encode(100000000000000)
--
return cjson.encode(123456789012345)
--
return cjson.encode(true)
--
return cjson.encode(nil)
--
return cjson.encode(cjson.null)
--
return cjson.encode({cjson.null,1})
--
return cjson.encode(0/0)
--
return cjson.encode(1/0)
--
return cjson.encode({[true]=1})
--
return cjson.encode(function() end)
--
return cjson.encode({f=function() end})
--
return cjson.encode()
--
return cjson.encode(1,2)
--
local t = {} for i=1,1001 do t = {t} end return cjson.encode(t)
--
local t = {} for i=1,999 do t = {t} end return #cjson.encode(t)
--
local t = {} t.t = t return cjson.encode(t)
--
return cjson.decode('[1,2,3]')
--
return cjson.decode('[1,[2,[3]],"x",true,false]')
--
return cjson.decode('{"a":1}').a
--
return cjson.decode('{"a":{"b":[1,{"c":"d"}]}}').a.b[2].c
--
return cjson.decode('null') == cjson.null
--
return cjson.decode('[null]')[1] == cjson.null
--
return cjson.decode('"\\u00e9\\ud83d\\ude00\\n\\/"')
--
return cjson.decode('"\\ud83d"')
--
return cjson.decode('"\\ude00"')
--
return cjson.decode('"\\u00g0"')
--
return cjson.decode('"\\x"')
--
return cjson.decode('"abc')
--
return cjson.decode('')
--
return cjson.decode('[1,')
--
return cjson.decode('[1 2]')
--
return cjson.decode('{"a"}')
--
return cjson.decode('{"a":}')
--
return cjson.decode('{a:1}')
--
return cjson.decode('{"a":1,}')
--
return cjson.decode('{"a":1 "b"}')
--
return cjson.decode('[1]x')
--
return cjson.decode('[1] 2')
--
return cjson.decode('tru')
--
return cjson.decode('nan')
--
return tostring(cjson.decode('nan'))
--
return tostring(cjson.decode('inf'))
--
return tostring(cjson.decode('-Infinity'))
--
return cjson.decode('0x1F')
--
return cjson.decode('+1')
--
return cjson.decode('-')
--
return cjson.decode('.5')
--
return cjson.decode('1.5e3')
--
return cjson.decode('01')
--
return cjson.decode('\0\0')
--
return cjson.decode(5)
--
return cjson.decode()
--
return cjson.decode({})
--
return cjson.decode(('['):rep(1001))
--
return cjson.decode(('['):rep(1000))
--
return {cjson.encode_sparse_array()}
--
cjson.encode_sparse_array(true) return cjson.encode({[50]=1})
--
return cjson.encode_sparse_array(1,2,3,4)
--
cjson.encode_max_depth(2) return cjson.encode({{{}}})
--
cjson.encode_max_depth(1000) return cjson.encode_max_depth()
--
return cjson.encode_max_depth(0)
--
cjson.decode_max_depth(2) return cjson.decode('[[[]]]')
--
cjson.decode_max_depth(1000) return cjson.decode_max_depth()
--
cjson.encode_number_precision(3) local r = cjson.encode(1/3) cjson.encode_number_precision(14) return r
--
return cjson.encode_number_precision(15)
--
cjson.encode_sparse_array(false) cjson.encode_invalid_numbers('null') local r = cjson.encode(0/0) cjson.encode_invalid_numbers(false) return r
--
cjson.encode_invalid_numbers(true) local r = cjson.encode(1/0)..cjson.encode(-1/0) cjson.encode_invalid_numbers(false) return r
--
return cjson.encode_invalid_numbers('x')
--
cjson.decode_invalid_numbers(false) local ok, e = pcall(cjson.decode,'nan') cjson.decode_invalid_numbers(true) return e
--
return {cjson._NAME, cjson._VERSION}
--
return cjson.encode(cjson.decode('{"x":[1,2,{"y":null}],"z":"w"}').x)
--
return cmsgpack.pack(1)
--
return cmsgpack.pack(-1, 127, 128, 255, 256, 65535, 65536, 4294967295, 4294967296)
--
return cmsgpack.pack(-32, -33, -128, -129, -32768, -32769, -2147483648, -2147483649)
--
return cmsgpack.pack(1.5, 1/3, 1e300, 0/1)
--
return cmsgpack.pack('a', ('b'):rep(31), ('c'):rep(32))
--
return #cmsgpack.pack(('d'):rep(255), ('e'):rep(256), ('f'):rep(65536))
--
return cmsgpack.pack(true, false, nil)
--
return cmsgpack.pack({1,2,3})
--
return cmsgpack.pack({a=1})
--
return cmsgpack.pack({})
--
return cmsgpack.pack({[1]=1,[3]=3})
--
return cmsgpack.pack(function() end)
--
return cmsgpack.pack(cjson.null)
--
return cmsgpack.pack()
--
local t = {} t[1] = t return cmsgpack.pack(t)
--
local t = {} for i=1,20 do t[i]=i end return cmsgpack.pack(t)
--
local t = {} for i=1,70000 do t[i]=0 end return #cmsgpack.pack(t)
--
return cmsgpack.unpack(cmsgpack.pack({1,{2,3},'x'}))
--
return {cmsgpack.unpack(cmsgpack.pack(1,-1,128,-200,70000,-70000,2^40,-2^40,1.5,'x',true,false))}
--
return tostring(cmsgpack.unpack(cmsgpack.pack(1/3)))
--
return cmsgpack.unpack(cmsgpack.pack({a={b=5}})).a.b
--
return {cmsgpack.unpack_one(cmsgpack.pack(1,2,3))}
--
return {cmsgpack.unpack_one(cmsgpack.pack(1,2,3),1)}
--
return {cmsgpack.unpack_one(cmsgpack.pack(1,2,3),2)}
--
return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),2)}
--
return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),2,1)}
--
return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),0,1)}
--
return cmsgpack.unpack_one('abc',10)
--
return cmsgpack.unpack_one('abc',-1)
--
return cmsgpack.unpack_limit('abc')
--
return cmsgpack.unpack('\193')
--
return cmsgpack.unpack('\146\1')
--
return cmsgpack.unpack('\217')
--
return cmsgpack.unpack()
--
return cmsgpack.unpack('')
--
return {cmsgpack.unpack('\207\255\255\255\255\255\255\255\255')}
--
return {cmsgpack._NAME, cmsgpack._VERSION, cmsgpack._COPYRIGHT, cmsgpack._DESCRIPTION}
--
return struct.pack('HH',1,2)
--
return struct.pack('>HH',1,2)
--
return struct.pack('<i4>i4',1,2)
--
return struct.pack('bBhHlLiIT',-1,1,-2,2,-3,3,-4,4,5)
--
return struct.pack('i3i5',-1,2^33)
--
return struct.pack('fd',1.5,1/3)
--
return struct.pack('>fd',1.5,1/3)
--
return struct.pack('s','abc')
--
return struct.pack('c2','abc')
--
return struct.pack('c0','abc')
--
return struct.pack('c5','abc')
--
return struct.pack('!8bd',1,2)
--
return struct.pack('!4bi',1,2)
--
return struct.pack('!3b',1)
--
return struct.pack('bxb',1,2)
--
return struct.pack('Q',1)
--
return struct.pack('i33',1)
--
return struct.pack('i99999999999',1)
--
return struct.pack('i')
--
return struct.pack('i','x')
--
return struct.pack()
--
return {struct.unpack('HH',struct.pack('HH',1,2))}
--
return {struct.unpack('>i4<i4',struct.pack('>i4<i4',-1,-2))}
--
return {struct.unpack('bB','\255\255')}
--
return {struct.unpack('I8',struct.pack('I8',2^52))}
--
return {struct.unpack('i3',struct.pack('i3',-5))}
--
return {struct.unpack('s','abc\0def')}
--
return {struct.unpack('Bc0','\3abcdef')}
--
return {struct.unpack('c3','abcdef',2)}
--
return {struct.unpack('d',struct.pack('d',2.5))}
--
return {struct.unpack('!4bi',struct.pack('!4bi',1,2))}
--
return struct.unpack('H','a')
--
return struct.unpack('s','abc')
--
return struct.unpack('c0','abc')
--
return struct.unpack('H','abc',0)
--
return struct.unpack('H','abc',10)
--
return struct.size('HHi')
--
return struct.size('!8bd')
--
return struct.size('c10')
--
return struct.size('s')
--
return struct.size('c0')
--
return struct.size('z')
--
return bit.tobit(0xffffffff)
--
return bit.tobit(2^40+5)
--
return bit.bnot(0)
--
return bit.band(0xff,0x0f,3)
--
return bit.bor(1,2,4)
--
return bit.bxor(5,3)
--
return {bit.lshift(1,31),bit.lshift(1,32),bit.rshift(-1,28),bit.arshift(-256,4)}
--
return {bit.rol(0x12345678,12),bit.ror(0x12345678,12),bit.bswap(0x12345678)}
--
return {bit.tohex(255),bit.tohex(255,4),bit.tohex(255,-4),bit.tohex(-1,99),bit.tohex(1,0)}
--
return bit.band()
--
return bit.band('a')
--
return bit.band('7',3)
--
return bit.bor(1.7)
--
return bit.tobit(0/0)
--
return gcinfo() > 0
--
return collectgarbage('count') > 0
--
return collectgarbage()
--
return collectgarbage('collect')
--
return collectgarbage('x')
--
return _VERSION
--
return type(_G)
--
return _G._G == _G
--
return _G.redis == redis
--
return tostring(redis):sub(1,6)
--
return ipairs({1})
--
local s='' for i,v in ipairs({5,6,7}) do s = s..i..v end return s
--
local t={} for k,v in pairs({a=1}) do t[#t+1]=k t[#t+1]=v end return t
--
return table.foreach({5},function(i,v) return v end)
--
return table.foreachi({5,6},function(i,v) if i==2 then return v end end)
--
return string.gsub
--
do local a <const> = 1 end
--
return 0x7fffffff
--
return 1e3
--
return [[long
string]]
--
return "\65\066\x41"
--
-- comment
return 1
--
return --[[ inline ]] 5
--
goto x
--
return not nil
--
return 1 == 1.0
--
return 'a' < 'b'
--
return 2^0.5 == math.sqrt(2)
--
return 5 % 3
--
return -5 % 3
--
return 5.5 % 2
--
return 7 / 2
--
#!lua
return foo
--
#!lua flags=no-writes
return 1
--
#!lua flags=x
return 1
--
#!luax
return 1
--
#!lua name=x
return 1
--
#!lua x
return 1
--
#!lua
--
#!lua flags=
return 2
--
local a = 1
local b = 2
return a.b.c
--
local function f()
  error('line 2')
end
f()
--
if redis.call("get",KEYS[1]) == ARGV[1] then
  return redis.call("del",KEYS[1])
else
  return 0
end
--
local n = redis.call('incr', KEYS[1])
if n > 3 then
  return redis.error_reply('LIMIT exceeded')
end
return n
--
return {
  redis.call('set', KEYS[1], ARGV[2]),
  redis.call('get', KEYS[1]),
  redis.call('incr', KEYS[1]),
}
