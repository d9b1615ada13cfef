-- The calls by which a worker, or a rescoring, changes a partition. Every key is read, and so checked, before the first write:
-- behind it nothing can fail, and a call that fails has changed nothing. Numbers that must be exact travel as text.
-- The layout is that of contract/keys.py; the callers are __init__.py and rescoring.py beside this file, the batch is
-- packed by call.py.

local BATCH, BYTES = 5, 6  -- their places among the arguments of commit; the batch names bytes by first and last

local function answer(...)
  error({answer = {...}})
end

-- The reply of a read; a key of the wrong type ends the call with its name.
local function asked(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, 'WRONGTYPE', 1, true) then
      answer('DAMAGED', key, 'is of the wrong type for ' .. command)
    end
    error({answer = reply})
  end
  return reply
end

local function number_in(key, field, text)
  local value = text and tonumber(text)
  if text and not value then
    answer('DAMAGED', key, 'holds no number in ' .. field)
  end
  return value
end

local function whole(number)
  return string.format('%.0f', number)
end

-- What a caller may do inside is checked command by command; a right that is missing must show before the first write.
local WRITES = {
  {'HSET', 'a', 'b'}, {'SADD', 'a'}, {'ZADD', '0', 'a'}, {'ZREM', 'a'}, {'APPEND', 'a'},
  {'EXPIRE', '9'}, {'UNLINK'}, {'SET', 'a'},
}

local function permitted(key)
  if not redis.acl_check_cmd then
    return
  end
  for _, write in ipairs(WRITES) do
    if not redis.acl_check_cmd(write[1], key, unpack(write, 2)) then
      answer('FORBIDDEN', write[1])
    end
  end
end

-- keys: position, born, sources, schemas, erased; args: log, whether another log may be adopted ('1')
local function taken(keys, args)
  local at = asked('HMGET', keys[1], 'log', 'epoch', 'next_offset')
  permitted(keys[1])
  local next_offset = at[3] or '0'
  local clock = redis.call('TIME')
  local epoch = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
  if not (at[1] and at[2] and at[3]) then
    if redis.call('EXISTS', unpack(keys)) > 0 then
      answer('LOST')
    end
  else
    epoch = math.max(epoch, number_in(keys[1], 'epoch', at[2]) + 1)
  end
  local adopted = at[1] and at[1] ~= args[1]
  if adopted and args[2] ~= '1' then
    answer('REPLACED', at[1], at[3])
  end
  if adopted then
    next_offset = '0'
    redis.call('HSET', keys[1], 'passed:rejected', '0', 'passed:shed', '0')
  end
  redis.call('HSET', keys[1], 'log', args[1], 'epoch', whole(epoch), 'next_offset', next_offset)
  redis.call('SET', keys[2], args[1], 'NX')
  return {'TAKEN', whole(epoch), next_offset}
end

local function check_position(keys, args)
  local at = asked('HMGET', keys[1], 'log', 'epoch', 'next_offset', 'passed:rejected', 'passed:shed')
  if not at[3] and redis.call('EXISTS', keys[2]) > 0 then
    answer('LOST')
  end
  if at[1] ~= args[1] or at[2] ~= args[2] then
    answer('FENCED')
  end
  if at[3] ~= args[3] then
    answer('STALE', at[3])
  end
  return {number_in(keys[1], 'passed:rejected', at[4]) or 0, number_in(keys[1], 'passed:shed', at[5]) or 0}
end

local NO_GAP = '0 0 interrupted'

-- Which sessions keep pictures; ends the call where the caller's marks are not the stored ones.
local function check_sessions(keys, sessions)
  local keeps, marks, same = {}, {'MARKS'}, true
  for i, session in ipairs(sessions) do
    local found = asked('HMGET', keys[session.key], 'high_water', 'keeps_pictures', 'complete_until')
    marks[i + 1] = found[1] or ''
    same = same and marks[i + 1] == session.assumed
    keeps[i] = (session.keeps ~= '' and session.keeps or found[2]) == '1'
    if session.assumed == '' then
      asked('SISMEMBER', keys[3], session.source)
      asked('SISMEMBER', keys[session.names], session.session)
    end
    if session.gaps then
      asked('HLEN', keys[session.gaps[1]])
    end
    -- The gap of an interruption, field -1, is emptied as soon as the session goes on. HDEL would need a new right.
    local interrupted = session.open and asked('HGET', keys[session.open], '-1')
    session.resumed = session.raised and interrupted and interrupted ~= NO_GAP
    if session.interruption then
      local complete = number_in(keys[session.key], 'complete_until', found[3])
      if complete and not session.progressed and complete > tonumber(session.interruption[1]) then
        session.interruption = nil
      end
    end
  end
  if not same then
    error({answer = marks})
  end
  return keeps
end

local function check_erasures(keys, erasures)
  for _, erasure in ipairs(erasures) do
    local members = asked('ZRANGE', keys[erasure.chunks], 0, -1)
    local same = #members == #erasure.members and (asked('HGET', keys[erasure.key], 'source') or '') == erasure.source
    for i = 1, #members do
      same = same and members[i] == erasure.members[i]
    end
    if not same then
      answer('INDEX')
    end
    asked('SISMEMBER', keys[5], erasure.person)
    if erasure.people > 0 then
      asked('ZCARD', keys[erasure.people])
    end
  end
end

local TEN = '<I8I8I8I8I8I8I8I8I8I8'

-- Ten numbers at a time and no tables, which would take twice the time.
local function sum(old, added)
  local sums, at = '', 1
  while #added - at >= 79 do
    local a, b, c, d, e, f, g, h, i, j = struct.unpack(TEN, old, at)
    local k, l, m, n, o, p, q, r, s, t = struct.unpack(TEN, added, at)
    sums = sums .. struct.pack(TEN, a + k, b + l, c + m, d + n, e + o, f + p, g + q, h + r, i + s, j + t)
    at = at + 80
  end
  for one = at, #added, 8 do
    sums = sums .. struct.pack('<I8', struct.unpack('<I8', old, one) + struct.unpack('<I8', added, one))
  end
  return sums
end

-- buckets: key, slot, first, last; key, slot, ...; the sums as they will be take the place of first.
local function check_buckets(keys, args, buckets)
  for i = 1, #buckets, 4 do
    local key, slot, added = keys[buckets[i]], buckets[i + 1], string.sub(args[BYTES], buckets[i + 2], buckets[i + 3])
    local old = asked('HGET', key, slot)
    if old and #old ~= #added then
      answer('DAMAGED', key, 'holds a bucket of ' .. #old .. ' bytes, wanted ' .. #added)
    end
    buckets[i + 2] = old and sum(old, added) or added
  end
end

-- parts: key, chunk, first, last; key, chunk, ...; the bytes, and whether they are the chunk's first, take their place.
local function check_chunks(keys, args, person, stride)
  local parts, begun = person.parts, false
  for i = 1, #parts, 4 do
    local length = asked('STRLEN', keys[parts[i]])
    if length % stride ~= 0 then
      answer('DAMAGED', keys[parts[i]], 'holds ' .. length .. ' bytes, wanted a multiple of ' .. stride)
    end
    parts[i + 2], parts[i + 3] = string.sub(args[BYTES], parts[i + 2], parts[i + 3]), length == 0
    begun = begun or length == 0
  end
  if begun then
    asked('ZCARD', keys[person.key + 1])
  end
end

-- The row as it will be: fields to set, and whether the person has a new place in the list.
local function check_person(keys, args, person, keeps)
  local key = keys[person.key]
  local row = asked('HMGET', key, 'points', 'first_time', 'last_time', 'picture_quality')
  local fields = {'points', whole((number_in(key, 'points', row[1]) or 0) + person.points)}
  local function set(field, value)
    fields[#fields + 1] = field
    fields[#fields + 1] = value
  end
  if not row[1] then
    set('source', person.source)
    set('session', person.session)
  end
  local first, last = number_in(key, 'first_time', row[2]), number_in(key, 'last_time', row[3])
  person.moved = not first or tonumber(person.first) < first
  if person.moved then
    set('first_time', person.first)
    asked('ZCARD', keys[person.people])
  end
  if not last or tonumber(person.last) > last then
    set('last_time', person.last)
  end
  local best = number_in(key, 'picture_quality', row[4])
  for _, picture in ipairs(person.pictures or {}) do
    local quality = tonumber(picture[2])
    if keeps[picture[1]] and (not best or quality > best) then
      best, person.picture = quality, picture
    end
  end
  if person.picture then
    set('picture', string.sub(args[BYTES], person.picture[3], person.picture[4]))
    set('picture_quality', person.picture[2])
  end
  person.fields = fields
end

-- The people who are not forgotten, with all that will be written of them.
local function check_people(keys, args, batch, keeps)
  local kept = {}
  if #batch.people == 0 then
    return kept
  end
  asked('HEXISTS', keys[4], batch.schema)
  local forgotten = asked('SMISMEMBER', keys[5], unpack(batch.names))
  for i, person in ipairs(batch.people) do
    if forgotten[i] == 0 then
      person.name = batch.names[i]
      check_person(keys, args, person, keeps)
      check_chunks(keys, args, person, batch.stride)
      check_buckets(keys, args, person.buckets)
      kept[#kept + 1] = person
    end
  end
  return kept
end

-- keys: position, born, sources, schemas, erased, then those the batch names by their place
-- args: log, epoch, previous offset, next offset, batch, bytes
local function planned(keys, args)
  permitted(keys[1])
  local passed = check_position(keys, args)
  local batch = cmsgpack.unpack(args[BATCH])
  local keeps = check_sessions(keys, batch.sessions)
  check_erasures(keys, batch.erasures)
  return {batch = batch, people = check_people(keys, args, batch, keeps), passed = passed}
end

local function write_session(keys, session)
  redis.call('HSET', keys[session.key], 'high_water', session.mark, unpack(session.fields))
  if session.assumed == '' then
    redis.call('SADD', keys[3], session.source)
    redis.call('SADD', keys[session.names], session.session)
  end
  if session.gaps then
    redis.call('HSET', keys[session.gaps[1]], unpack(session.gaps, 2))
  end
  if session.resumed then
    redis.call('HSET', keys[session.open], '-1', NO_GAP)
  end
  if session.interruption then
    redis.call('HSET', keys[session.key], unpack(session.interruption, 2, 7))
    if session.interruption[8] then
      redis.call('HSET', keys[session.open], unpack(session.interruption, 8))
    end
  end
end

local function write_sessions(keys, sessions)
  for _, session in ipairs(sessions) do
    if session.mark ~= '' then -- else an interruption of a session that nobody opened: it is none
      write_session(keys, session)
    end
  end
end

local function write_erasures(keys, erasures)
  for _, erasure in ipairs(erasures) do
    redis.call('SADD', keys[5], erasure.person)
    if erasure.people > 0 then
      redis.call('ZREM', keys[erasure.people], erasure.person)
    end
    for place = erasure.doomed[1], erasure.doomed[2] do
      redis.call('UNLINK', keys[place])
    end
  end
end

-- from: the place of the first key that lasts as long as the points
local function write_points(keys, person, schema, retention, from)
  local parts, buckets = person.parts, person.buckets
  for i = 1, #parts, 4 do
    redis.call('APPEND', keys[parts[i]], parts[i + 2])
    if parts[i + 3] then
      redis.call('ZADD', keys[person.key + 1], parts[i + 1], parts[i + 1] .. ':' .. schema)
    end
  end
  for i = 1, #buckets, 4 do
    redis.call('HSET', keys[buckets[i]], buckets[i + 1], buckets[i + 2])
  end
  if retention > 0 then
    for place = from, person.last_key do
      redis.call('EXPIRE', keys[place], retention)
    end
  end
end

local function write_person(keys, person, schema, retention)
  redis.call('HSET', keys[person.key], unpack(person.fields))
  if person.moved then
    redis.call('ZADD', keys[person.people], person.first, person.name)
  end
  write_points(keys, person, schema, retention, person.key)
end

local function write(keys, args, plan)
  local batch, passed = plan.batch, plan.passed
  redis.call('HSET', keys[1], 'next_offset', args[4],
    'passed:rejected', whole(passed[1] + batch.passed[1]), 'passed:shed', whole(passed[2] + batch.passed[2]))
  write_sessions(keys, batch.sessions)
  write_erasures(keys, batch.erasures)
  if #plan.people > 0 then
    redis.call('HSET', keys[4], batch.schema, string.sub(args[BYTES], batch.body[1], batch.body[2]))
  end
  for _, person in ipairs(plan.people) do
    write_person(keys, person, batch.schema, batch.retention)
  end
end

-- keys: position, rescoring, rescored; args: log, schema id
local function taken_rescoring(keys, args)
  permitted(keys[2])
  local main = asked('HMGET', keys[1], 'log', 'next_offset')
  if main[1] and main[1] ~= args[1] then
    answer('REPLACED', main[1], main[2])
  end
  local own = asked('HMGET', keys[2], 'log', 'epoch', 'next_offset')
  local clock = redis.call('TIME')
  local epoch = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
  epoch = math.max(epoch, (number_in(keys[2], 'epoch', own[2]) or 0) + 1)
  local rank = asked('HGET', keys[3], args[2]) or whole(asked('HLEN', keys[3]) + 1)
  local next_offset = own[1] == args[1] and own[3] or '0'
  redis.call('HSET', keys[2], 'log', args[1], 'epoch', whole(epoch), 'next_offset', next_offset)
  redis.call('HSET', keys[3], args[2], rank)
  return {'TAKEN', whole(epoch), next_offset, main[2] or '0', rank}
end

local function check_rescoring(keys, args, batch)
  local own = asked('HMGET', keys[batch.rescoring], 'log', 'epoch', 'next_offset')
  local main = asked('HMGET', keys[1], 'log', 'epoch', 'next_offset')
  if own[1] ~= args[1] or own[2] ~= args[2] or main[1] ~= args[1] then
    answer('FENCED')
  end
  if own[3] ~= args[3] or number_in(keys[1], 'next_offset', main[3]) < tonumber(args[4]) then
    answer('STALE', own[3])
  end
  if main[2] ~= batch.main then -- what was read of the workers' points may be rolled back and made anew
    answer('INDEX')
  end
end

-- keys and args as of planned; only people who are still there are read again, for as long as they have left
local function planned_rescoring(keys, args)
  permitted(keys[1])
  local batch, kept = cmsgpack.unpack(args[BATCH]), {}
  check_rescoring(keys, args, batch)
  asked('HEXISTS', keys[4], batch.schema)
  local forgotten = #batch.names > 0 and asked('SMISMEMBER', keys[5], unpack(batch.names))
  for i, person in ipairs(batch.people) do
    if forgotten[i] == 0 and asked('HEXISTS', keys[person.key], 'points') == 1 then
      person.left = asked('TTL', keys[person.key])
      check_chunks(keys, args, person, batch.stride)
      check_buckets(keys, args, person.buckets)
      kept[#kept + 1] = person
    end
  end
  return {batch = batch, people = kept}
end

local function write_rescoring(keys, args, plan)
  local batch = plan.batch
  redis.call('HSET', keys[batch.rescoring], 'next_offset', args[4])
  if #plan.people > 0 then
    redis.call('HSET', keys[4], batch.schema, string.sub(args[BYTES], batch.body[1], batch.body[2]))
  end
  for _, person in ipairs(plan.people) do
    write_points(keys, person, batch.schema, person.left == 0 and 1 or person.left, person.key + 2)
  end
end

local function guarded(step, keys, args)
  local done, found = pcall(step, keys, args)
  if done then
    return nil, found
  end
  return type(found) == 'table' and found.answer or redis.error_reply('ERR mien_v1: ' .. tostring(found))
end

local function take(keys, args)
  local refusal, found = guarded(taken, keys, args)
  return refusal or found
end

local function take_rescoring(keys, args)
  local refusal, found = guarded(taken_rescoring, keys, args)
  return refusal or found
end

local function commit(keys, args)
  local refusal, plan = guarded(planned, keys, args)
  if refusal then
    return refusal
  end
  write(keys, args, plan)
  return {'APPLIED'}
end

local function rescore(keys, args)
  local refusal, plan = guarded(planned_rescoring, keys, args)
  if refusal then
    return refusal
  end
  write_rescoring(keys, args, plan)
  return {'APPLIED'}
end
