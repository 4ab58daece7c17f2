-- What fluent-bit.yaml does with each line of a container's log: keeps those of steps, adds the ids of the step's span and what correlates
-- it, and takes out what looks like a secret. Lua 5.1, as LuaJIT in Fluent Bit has it.

-- The spans and the open private keys of files, by the tag that each file has.
local spans, in_key, known = {}, {}, 0
-- Files that may be remembered: names of containers that ended come to an end too.
local MOST = 20000
local REDACTED = "[redacted]"

local function times(class, n) return string.rep(class, n) end

-- Known shapes of secrets.
local shapes = {
  "A[KS]IA" .. times("[%u%d]", 16),
  "gh[pousr]_" .. times("%w", 36) .. "%w*",
  "github_pat_" .. times("[%w_]", 22) .. "[%w_]*",
  "glpat%-" .. times("[%w_%-]", 20) .. "[%w_%-]*",
  "xox[abeoprs]%-" .. times("[%w%-]", 10) .. "[%w%-]*",
  "sk%-" .. times("[%w_%-]", 20) .. "[%w_%-]*",
  "[rs]k_live_" .. times("%w", 16) .. "%w*",
  "[rs]k_test_" .. times("%w", 16) .. "%w*",
  "AIza" .. times("[%w_%-]", 35),
  "npm_" .. times("%w", 36),
  "pypi%-" .. times("[%w_%-]", 50) .. "[%w_%-]*",
  "eyJ" .. times("[%w_%-]", 8) .. "[%w_%-]*%." .. times("[%w_%-]", 8) .. "[%w_%-]*%.[%w_%-]*",
}

-- Words by which a variable or key says that its value is a secret.
local words = {
  "PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "API_?KEY", "ACCESS_?KEY", "PRIVATE_?KEY", "CREDENTIALS?",
}

local function is_sensitive(name)
  name = name:upper()
  for _, word in ipairs(words) do
    if name:find(word .. "$") or name:find(word .. "_[%u%d_]+$") then return true end
  end
  return false
end

local function redact(text)
  for _, shape in ipairs(shapes) do text = text:gsub(shape, REDACTED) end
  text = text:gsub("(%a+)(%s+)([%w%._~%+/=%-]+)", function(scheme, between, value)
    local kind = scheme:lower()
    if (kind == "bearer" or kind == "basic") and #value >= 16 then return scheme .. " " .. REDACTED end
    return scheme .. between .. value
  end)
  text = text:gsub("(%a[%w%+%.%-]*://[^%s/:@]*):[^%s/@]+@", "%1:" .. REDACTED .. "@")
  -- In double quotes, in single quotes, bare.
  for _, value in ipairs({ '"[^"]*"', "'[^']*'", "[^%s,;&\"']+" }) do
    text = text:gsub("([%w_%.%-]+)([\"']?%s*[=:]%s*)(" .. value .. ")", function(name, between, found)
      if found ~= REDACTED and is_sensitive(name) then return name .. between .. REDACTED end
      return name .. between .. found
    end)
  end
  return text
end

-- The line without a private key, nil where it is nothing but a part of one.
local function without_key(tag, line)
  if in_key[tag] then
    if line:find("%-%-%-%-%-END [%u ]*PRIVATE KEY%-%-%-%-%-") then in_key[tag] = nil end
    return nil
  end
  local from = line:find("%-%-%-%-%-BEGIN [%u ]*PRIVATE KEY%-%-%-%-%-")
  if not from then return line end
  local _, to = line:find("%-%-%-%-%-END [%u ]*PRIVATE KEY%-%-%-%-%-", from)
  if not to then in_key[tag] = true end
  return line:sub(1, from - 1) .. REDACTED .. (to and line:sub(to + 1) or "")
end

-- Remembers whose span the lines of a file are of; the shim says so before each run of the command.
local function span_of(tag, line, trace)
  local told, span = line:match('^{"traceId":"(%x+)","spanId":"(%x+)"}%s*$')
  if told and told == trace and #span == 16 then
    if not spans[tag] then
      known = known + 1
      if known > MOST then spans, known = {}, 1 end
    end
    spans[tag] = span
  end
  return spans[tag], told ~= nil and told == trace
end

-- Fluent Bit's filter: 0 keeps the record, 1 replaces it, -1 drops it.
function step(tag, timestamp, record)
  local pod = record.kubernetes or {}
  local labels, annotations = pod.labels or {}, pod.annotations or {}
  local workflow, line = labels["workflows.argoproj.io/workflow"], record.log or record.message
  if not workflow or not line then return -1, timestamp, record end
  line = line:gsub("\n$", "")
  local trace = (annotations["trace.context"] or ""):match("^00%-(%x+)%-%x+%-%x%x$")
  local span, is_identity = span_of(tag, line, trace)
  if is_identity then return -1, timestamp, record end
  line = without_key(tag, line)
  if not line then return -1, timestamp, record end
  -- A value that is no label is there whole.
  local function exact(key, label) return annotations["stepspan.dev/" .. key] or labels[label or key] end
  return 1, timestamp, {
    raw = redact(line),
    trace_id = trace,
    span_id = span,
    repo = exact("repo"),
    prNumber = exact("prNumber", "pr"),
    taskId = exact("taskId"),
    agent = exact("agent"),
    stepName = exact("stepName"),
    workflowName = workflow,
    nodeId = annotations["workflows.argoproj.io/node-id"],
    namespace = pod.namespace_name,
    container = pod.container_name,
    pod = pod.pod_name,
    pod_uid = pod.pod_id,
  }
end
