-- What a slot may hold, as text:
--   t<32 hex>-<sec>-<usec>                                      a token
--   l<32 hex>:<16 hex or nothing>                               a lease (the asker's half, then the server's) and the generation its load captured
--   !<32 hex>-<sec>-<usec>;<32 hex or *>,<o or s>,<ms>;...      a mark: its token, then who is running, how (s is strict), and until when
-- Anything else is foreign, and counts as nothing.

-- Digits are written in lower case; in upper case they are somebody else's.
local HEX32 = string.rep('[0-9a-f]', 32)

-- MGET is the one read that takes a value of another type for nothing.
local function get(key)
  return redis.call('MGET', key)[1]
end

local function is_token(value)
  return value and #value <= 80 and string.find(value, '^t' .. HEX32 .. '%-%d+%-%d+$') ~= nil
end

local function holder(value)
  local id, generation = string.match(value or '', '^l(' .. HEX32 .. '):([0-9a-f]*)$')
  if id and (#generation == 0 or #generation == 16) then return id end
end

local function asker(id)
  return id and string.sub(id, 1, 16)
end

-- The server's half of a lease: a request that is delivered again is given another one.
local function salt()
  local time = redis.call('TIME')
  return string.format('%08x%08x', tonumber(time[1]), tonumber(time[2]))
end

-- Bytes of chance from the client, and the server's time: a creation that is delivered again makes another token.
local function fresh(kind, random)
  local time = redis.call('TIME')
  return kind .. random .. '-' .. time[1] .. '-' .. time[2]
end

local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The token of a mark and the list of who is running, or nothing if it is no mark.
local function parse(value)
  local token, rest = string.match(value or '', '^(!' .. HEX32 .. '%-%d+%-%d+);(.+)$')
  if not token or #token > 80 then return nil end
  local list, read = {}, 0
  for id, how, till in string.gmatch(rest, '([0-9a-f%*]+),([os]),(%d+);') do
    if (id ~= '*' and not string.find(id, '^' .. HEX32 .. '$')) or #till > 15 then return nil end
    list[#list + 1] = { id = id, how = how, till = tonumber(till) }
    read = read + #id + #till + 4
  end
  if read ~= #rest then return nil end
  return token, list
end

-- Who is still running according to the slot, and how many it lists.
local function standing(value, now)
  local token, list = parse(value)
  local living = {}
  for _, one in ipairs(list or {}) do
    if one.till > now then living[#living + 1] = one end
  end
  return living, token, #(list or {})
end

local function latest(list)
  local till = 0
  for _, one in ipairs(list) do till = math.max(till, one.till) end
  return till
end

local function without(list, id)
  local rest = {}
  for _, one in ipairs(list) do
    if one.id ~= id then rest[#rest + 1] = one end
  end
  return rest
end

local function put(key, token, list, now)
  local parts = { token .. ';' }
  for _, one in ipairs(list) do
    parts[#parts + 1] = string.format('%s,%s,%.0f;', one.id, one.how, one.till)
  end
  redis.call('SET', key, table.concat(parts), 'PX', string.format('%.0f', latest(list) - now))
end

-- Places or renews a mark; says whether it is new. A renewal keeps the token, unless another mark was found dead: what was filled under
-- that token was filled under the dead mutation too.
local function place(key, id, how, life, renew, random)
  local now = clock()
  local living, token, listed = standing(get(key), now)
  for _, one in ipairs(living) do
    if renew and one.id == id then
      one.till = math.max(one.till, now + life)
      put(key, #living == listed and token or fresh('!', random), living, now)
      return false
    end
  end
  local others = without(living, id)
  if #others >= 64 then
    local how_all = 'o'
    for _, one in ipairs(others) do
      if one.how == 's' then how_all = 's' end
    end
    others = { { id = '*', how = how_all, till = latest(others) } }
  end
  others[#others + 1] = { id = id, how = how, till = now + life }
  put(key, fresh('!', random), others, now)
  return true
end
