-- What LiteLLM's users and their dashboards ask for, as views over the compact rows. Every time is a `timestamptz`, so that a
-- comparison with NOW() means the same in each time zone of server and session. Amounts are US dollars. A name that a table of
-- LiteLLM's own has in this database is left alone.

CREATE FUNCTION pg_temp.sealgate_view(name text, body text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass(quote_ident(name)) IS NULL THEN
        EXECUTE format('CREATE VIEW %I AS %s', name, body);
    END IF;
END $$;

CREATE FUNCTION sealgate_time(micros BIGINT) RETURNS TIMESTAMPTZ LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN to_timestamp(micros::float8 / 1000000);
CREATE FUNCTION sealgate_usd(micros BIGINT) RETURNS FLOAT8 LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN micros::float8 / 1000000;
CREATE FUNCTION sealgate_texts(list JSONB) RETURNS TEXT[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN ARRAY(SELECT jsonb_array_elements_text(coalesce(list, '[]')));
-- What an administrator set, then every priced call since.
CREATE FUNCTION sealgate_spent(base JSONB, total BIGINT, since_base BIGINT) RETURNS FLOAT8 LANGUAGE sql IMMUTABLE PARALLEL SAFE
    RETURN sealgate_usd(CASE WHEN base IS NULL THEN coalesce(total, 0)
                             ELSE (base ->> 'amount')::int8 + coalesce(since_base, 0) END);

CREATE INDEX ix_sealgate_spend_time ON sealgate_spend USING brin (sealgate_time(at));
CREATE INDEX ix_sealgate_spend_key ON sealgate_spend (key, at);

CREATE VIEW sealgate_calls AS
SELECT s.chain, s.sequence, c.id, c.session_id, c.data, s.at, sealgate_time(s.at) AS started,
       sealgate_time(s.at + s.duration_ms * 1000) AS ended,
       (ARRAY['success', 'failure', 'partial', 'blocked', 'unknown', 'refused'])[s.status + 1] AS outcome,
       CASE s.status WHEN 0 THEN 'success' WHEN 2 THEN 'success' WHEN 5 THEN 'error' ELSE 'failure' END AS status,
       s.call_type, s.model, s.deployment, s.provider, s.key, s.team, s."user", s.tenant, s.organization, s.end_user, s.address,
       string_to_array(nullif(s.tags, ''), U&'\001F') AS tags,
       s.tokens_in, s.tokens_out, s.tokens_cached, s.tokens_reasoning, s.duration_ms, s.cost_micro_usd,
       coalesce(sealgate_usd(s.cost_micro_usd), 0) AS spend,
       (ARRAY['none', 'config', 'table', 'provider', 'reservation'])[s.cost_source + 1] AS cost_source, s.estimated
FROM sealgate_spend s
JOIN quantumpipes_capsules c ON c.sequence = s.sequence AND c.tenant_id IS NOT DISTINCT FROM nullif(s.chain, '');

CREATE VIEW sealgate_objects AS
SELECT e.kind, e.tenant, e.id, e.version, e.doc::jsonb AS d, e.doc::jsonb -> 'caps' AS caps,
       sealgate_time((e.doc::jsonb ->> 'created_at')::int8) AS created_at,
       sealgate_time((e.doc::jsonb ->> 'updated_at')::int8) AS updated_at
FROM sealgate_entities e;

SELECT pg_temp.sealgate_view('LiteLLM_SpendLogs', $v$
SELECT id::text AS request_id, call_type, key AS api_key, spend, (tokens_in + tokens_out)::int4 AS total_tokens,
       tokens_in::int4 AS prompt_tokens, tokens_out::int4 AS completion_tokens, started AS "startTime", ended AS "endTime",
       NULL::timestamptz AS "completionStartTime", model, deployment AS model_id, model AS model_group,
       provider AS custom_llm_provider, NULL::text AS api_base, "user",
       jsonb_strip_nulls(jsonb_build_object(
           'user_api_key', key, 'user_api_key_team_id', nullif(team, ''), 'user_api_key_user_id', nullif("user", ''),
           'user_api_key_org_id', nullif(organization, ''), 'requester_ip_address', nullif(address, ''), 'status', status,
           'cost_source', cost_source, 'estimated', estimated,
           'usage_object', jsonb_build_object('prompt_tokens', tokens_in, 'completion_tokens', tokens_out,
                                              'cached_tokens', tokens_cached, 'reasoning_tokens', tokens_reasoning))) AS metadata,
       CASE WHEN tokens_cached > 0 THEN 'True' ELSE 'False' END AS cache_hit, ''::text AS cache_key,
       coalesce(to_jsonb(tags), '[]') AS request_tags, nullif(team, '') AS team_id, nullif(end_user, '') AS end_user,
       nullif(address, '') AS requester_ip_address,
       CASE WHEN coalesce(data::jsonb #>> '{trigger,request}', '') = '' THEN '{}'::jsonb
            ELSE jsonb_build_array(jsonb_build_object('role', 'user', 'content', data::jsonb #>> '{trigger,request}')) END AS messages,
       '{}'::jsonb AS response, '{}'::jsonb AS proxy_server_request, session_id::text AS session_id, status,
       NULL::text AS mcp_namespaced_tool_name, nullif(data::jsonb #>> '{context,agent_id}', '') AS agent_id,
       duration_ms::int4 AS request_duration_ms, started AS created_at, ended AS updated_at, id::text AS litellm_call_id,
       NULL::text AS billing_agent_id, nullif(organization, '') AS organization_id, tenant, outcome, cost_source, estimated
FROM sealgate_calls $v$);

SELECT pg_temp.sealgate_view('litellm_usage', $v$
SELECT key AS key_id, nullif(address, '') AS ip_address, started AS start_time, ended AS end_time, id::text AS request_id, model,
       spend, (tokens_in + tokens_out)::int4 AS total_tokens, nullif("user", '') AS user_id, nullif(team, '') AS team_id, status, tenant
FROM sealgate_calls $v$);

SELECT pg_temp.sealgate_view('LiteLLM_AuditLog', $v$
SELECT id, sealgate_time(at) AS updated_at, changed_by, changed_by_key AS changed_by_api_key, action, table_name, object_id,
       before_value::jsonb AS before_value, updated_values::jsonb AS updated_values, tenant
FROM sealgate_audit $v$);

SELECT pg_temp.sealgate_view('LiteLLM_ErrorLogs', $v$
SELECT id::text AS request_id, started AS "startTime", ended AS "endTime", NULL::text AS api_base, model AS model_group,
       model AS litellm_model_name, deployment AS model_id, '{}'::jsonb AS request_kwargs, outcome AS exception_type,
       coalesce(data::jsonb #>> '{outcome,error}', '') AS exception_string, status AS status_code, tenant
FROM sealgate_calls WHERE status <> 'success' $v$);

CREATE VIEW sealgate_keys AS
SELECT o.tenant, o.id AS token, o.d #>> '{key,name}' AS key_name, o.d ->> 'alias' AS key_alias, false AS soft_budget_cooldown,
       sealgate_spent(o.d -> 'spend', s.total, s.since_base) AS spend, coalesce(sealgate_usd(s.total), 0) AS total_spend,
       sealgate_time((o.d #>> '{key,expires}')::int8) AS expires, sealgate_texts(o.d -> 'models') AS models,
       coalesce(o.d -> 'aliases', '{}') AS aliases, '{}'::jsonb AS config, o.d ->> 'user' AS user_id, o.d ->> 'team' AS team_id,
       '{}'::jsonb AS permissions, (o.caps ->> 'max_parallel_requests')::int4 AS max_parallel_requests,
       coalesce((o.d ->> 'metadata')::jsonb, '{}') AS metadata, coalesce((o.d ->> 'blocked')::bool, false) AS blocked,
       (o.caps ->> 'tpm_limit')::int8 AS tpm_limit, (o.caps ->> 'rpm_limit')::int8 AS rpm_limit,
       (o.caps ->> 'tpd_limit')::int8 AS tpd_limit, sealgate_usd((o.caps ->> 'max_budget')::int8) AS max_budget,
       o.caps ->> 'budget_duration' AS budget_duration, NULL::timestamptz AS budget_reset_at,
       '{}'::text[] AS allowed_cache_controls, sealgate_texts(o.d #> '{key,allowed_routes}') AS allowed_routes,
       o.d #>> '{key,key_type}' AS key_type, '{}'::text[] AS policies, '{}'::text[] AS access_group_ids, '{}'::jsonb AS model_spend,
       coalesce(o.caps -> 'model_max_budget', '{}') AS model_max_budget, '{}'::jsonb AS budget_fallbacks,
       coalesce(o.caps -> 'budget_limits', '[]') AS budget_limits, '{}'::jsonb AS router_settings, o.d ->> 'budget' AS budget_id,
       o.d ->> 'organization' AS organization_id, NULL::text AS project_id, o.d #>> '{key,agents,0}' AS agent_id,
       NULL::text AS object_permission_id, o.created_at, o.d ->> 'created_by' AS created_by, o.updated_at,
       o.d ->> 'updated_by' AS updated_by, o.updated_at AS settings_updated_at, sealgate_time(s.last) AS last_active,
       false AS auto_rotate, coalesce((o.d #>> '{key,rotations}')::int4, 0) AS rotation_count, NULL::text AS rotation_interval,
       NULL::timestamptz AS last_rotation_at, NULL::timestamptz AS key_rotation_at
FROM sealgate_objects o
LEFT JOIN LATERAL (
    SELECT sum(s.cost_micro_usd)::int8 AS total, max(s.at) AS last,
           sum(s.cost_micro_usd) FILTER (WHERE s.at >= (o.d #>> '{spend,since}')::int8)::int8 AS since_base
    FROM sealgate_spend s WHERE s.key = o.id AND s.tenant = o.tenant) s ON true
WHERE o.kind = 'key';

SELECT pg_temp.sealgate_view('LiteLLM_VerificationToken', $v$
SELECT token, key_name, key_alias, soft_budget_cooldown, spend, total_spend, expires, models, aliases, config, user_id, team_id,
       permissions, max_parallel_requests, metadata, blocked, tpm_limit, rpm_limit, tpd_limit, max_budget, budget_duration,
       budget_reset_at, allowed_cache_controls, allowed_routes, key_type, policies, access_group_ids, model_spend, model_max_budget,
       budget_fallbacks, budget_limits, router_settings, budget_id, organization_id, project_id, agent_id, object_permission_id,
       created_at, created_by, updated_at, updated_by, settings_updated_at, last_active, auto_rotate, rotation_count,
       rotation_interval, last_rotation_at, key_rotation_at, tenant
FROM sealgate_keys $v$);

CREATE VIEW sealgate_teams AS
SELECT o.tenant, o.id AS team_id, o.d ->> 'alias' AS team_alias, o.d ->> 'organization' AS organization_id,
       NULL::text AS object_permission_id,
       ARRAY(SELECT m ->> 'user' FROM jsonb_array_elements(coalesce(o.d #> '{group,members}', '[]')) m WHERE m ->> 'role' = 'admin') AS admins,
       ARRAY(SELECT m ->> 'user' FROM jsonb_array_elements(coalesce(o.d #> '{group,members}', '[]')) m) AS members,
       coalesce((SELECT jsonb_agg(jsonb_build_object('user_id', m ->> 'user', 'role', coalesce(m ->> 'role', 'user')))
                 FROM jsonb_array_elements(o.d #> '{group,members}') m), '[]') AS members_with_roles,
       coalesce((o.d ->> 'metadata')::jsonb, '{}') AS metadata, sealgate_usd((o.caps ->> 'max_budget')::int8) AS max_budget,
       sealgate_usd((o.caps ->> 'soft_budget')::int8) AS soft_budget,
       sealgate_spent(o.d -> 'spend', s.total, s.since_base) AS spend, sealgate_texts(o.d -> 'models') AS models,
       (o.caps ->> 'max_parallel_requests')::int4 AS max_parallel_requests, (o.caps ->> 'tpm_limit')::int8 AS tpm_limit,
       (o.caps ->> 'rpm_limit')::int8 AS rpm_limit, (o.caps ->> 'tpd_limit')::int8 AS tpd_limit,
       o.caps ->> 'budget_duration' AS budget_duration, NULL::timestamptz AS budget_reset_at,
       coalesce((o.d ->> 'blocked')::bool, false) AS blocked, o.created_at, o.updated_at, '{}'::jsonb AS model_spend,
       coalesce(o.caps -> 'model_max_budget', '{}') AS model_max_budget, '{}'::jsonb AS router_settings,
       sealgate_texts(o.d #> '{group,member_permissions}') AS team_member_permissions, '{}'::text[] AS access_group_ids,
       '{}'::text[] AS policies, '{}'::text[] AS default_team_member_models,
       coalesce(o.caps -> 'budget_limits', '[]') AS budget_limits, NULL::int4 AS model_id, false AS allow_team_guardrail_config
FROM sealgate_objects o
LEFT JOIN LATERAL (
    SELECT sum(s.cost_micro_usd)::int8 AS total,
           sum(s.cost_micro_usd) FILTER (WHERE s.at >= (o.d #>> '{spend,since}')::int8)::int8 AS since_base
    FROM sealgate_spend s WHERE s.team = o.id AND s.tenant = o.tenant) s ON true
WHERE o.kind = 'team';

SELECT pg_temp.sealgate_view('LiteLLM_TeamTable', $v$
SELECT team_id, team_alias, organization_id, object_permission_id, admins, members, members_with_roles, metadata, max_budget,
       soft_budget, spend, models, max_parallel_requests, tpm_limit, rpm_limit, tpd_limit, budget_duration, budget_reset_at, blocked,
       created_at, updated_at, model_spend, model_max_budget, router_settings, team_member_permissions, access_group_ids, policies,
       default_team_member_models, budget_limits, model_id, allow_team_guardrail_config, tenant
FROM sealgate_teams $v$);

SELECT pg_temp.sealgate_view('LiteLLM_UserTable', $v$
SELECT o.id AS user_id, o.d ->> 'alias' AS user_alias, NULL::text AS team_id, o.d #>> '{person,sso_id}' AS sso_user_id,
       o.d ->> 'organization' AS organization_id, NULL::text AS object_permission_id, NULL::text AS password,
       false AS password_reset_required, NULL::timestamptz AS last_breach_check_at,
       ARRAY(SELECT t.team_id FROM sealgate_teams t WHERE t.tenant = o.tenant AND o.id = ANY (t.members)) AS teams,
       o.d #>> '{person,role}' AS user_role, sealgate_usd((o.caps ->> 'max_budget')::int8) AS max_budget,
       sealgate_spent(o.d -> 'spend', s.total, s.since_base) AS spend, o.d #>> '{person,email}' AS user_email,
       sealgate_texts(o.d -> 'models') AS models, coalesce((o.d ->> 'metadata')::jsonb, '{}') AS metadata,
       (o.caps ->> 'max_parallel_requests')::int4 AS max_parallel_requests, (o.caps ->> 'tpm_limit')::int8 AS tpm_limit,
       (o.caps ->> 'rpm_limit')::int8 AS rpm_limit, o.caps ->> 'budget_duration' AS budget_duration,
       NULL::timestamptz AS budget_reset_at, '{}'::text[] AS allowed_cache_controls, '{}'::text[] AS policies,
       '{}'::jsonb AS model_spend, coalesce(o.caps -> 'model_max_budget', '{}') AS model_max_budget, o.created_at, o.updated_at, o.tenant
FROM sealgate_objects o
LEFT JOIN LATERAL (
    SELECT sum(s.cost_micro_usd)::int8 AS total,
           sum(s.cost_micro_usd) FILTER (WHERE s.at >= (o.d #>> '{spend,since}')::int8)::int8 AS since_base
    FROM sealgate_spend s WHERE s."user" = o.id AND s.tenant = o.tenant) s ON true
WHERE o.kind = 'user' $v$);

SELECT pg_temp.sealgate_view('LiteLLM_BudgetTable', $v$
SELECT o.id AS budget_id, sealgate_usd((o.caps ->> 'max_budget')::int8) AS max_budget,
       sealgate_usd((o.caps ->> 'soft_budget')::int8) AS soft_budget, (o.caps ->> 'max_parallel_requests')::int4 AS max_parallel_requests,
       (o.caps ->> 'tpm_limit')::int8 AS tpm_limit, (o.caps ->> 'rpm_limit')::int8 AS rpm_limit, (o.caps ->> 'tpd_limit')::int8 AS tpd_limit,
       coalesce(o.caps -> 'model_max_budget', '{}') AS model_max_budget, o.caps ->> 'budget_duration' AS budget_duration,
       NULL::timestamptz AS budget_reset_at, sealgate_texts(o.d -> 'models') AS allowed_models,
       sealgate_usd((o.caps ->> 'temp_budget_increase')::int8) AS temp_budget_increase,
       sealgate_time((o.caps ->> 'temp_budget_expiry')::int8) AS temp_budget_expiry, o.created_at, o.d ->> 'created_by' AS created_by,
       o.updated_at, o.d ->> 'updated_by' AS updated_by, o.tenant
FROM sealgate_objects o WHERE o.kind = 'budget' $v$);

SELECT pg_temp.sealgate_view('LiteLLM_EndUserTable', $v$
SELECT o.id AS user_id, o.d ->> 'alias' AS alias, sealgate_usd(coalesce((o.d #>> '{spend,amount}')::int8, 0)) AS spend,
       NULL::text AS allowed_model_region, NULL::text AS default_model, sealgate_texts(o.d -> 'models') AS models,
       o.d ->> 'budget' AS budget_id, NULL::text AS object_permission_id, coalesce((o.d ->> 'blocked')::bool, false) AS blocked, o.tenant
FROM sealgate_objects o WHERE o.kind = 'customer' $v$);

SELECT pg_temp.sealgate_view('LiteLLM_OrganizationTable', $v$
SELECT o.id AS organization_id, o.d ->> 'alias' AS organization_alias, o.d ->> 'budget' AS budget_id,
       coalesce((o.d ->> 'metadata')::jsonb, '{}') AS metadata, sealgate_texts(o.d -> 'models') AS models,
       sealgate_spent(o.d -> 'spend', s.total, s.since_base) AS spend, '{}'::jsonb AS model_spend, o.created_at,
       o.d ->> 'created_by' AS created_by, o.updated_at, o.d ->> 'updated_by' AS updated_by, o.tenant
FROM sealgate_objects o
LEFT JOIN LATERAL (
    SELECT sum(s.cost_micro_usd)::int8 AS total,
           sum(s.cost_micro_usd) FILTER (WHERE s.at >= (o.d #>> '{spend,since}')::int8)::int8 AS since_base
    FROM sealgate_spend s WHERE s.organization = o.id AND s.tenant = o.tenant) s ON true
WHERE o.kind = 'organization' $v$);

SELECT pg_temp.sealgate_view('LiteLLM_TagTable', $v$
SELECT o.id AS tag_name, o.d ->> 'alias' AS description, sealgate_texts(o.d -> 'models') AS models, o.d ->> 'budget' AS budget_id,
       o.created_at, o.d ->> 'created_by' AS created_by, o.updated_at, o.tenant
FROM sealgate_objects o WHERE o.kind = 'tag' $v$);

SELECT pg_temp.sealgate_view('LiteLLM_TeamMembership', $v$
SELECT m ->> 'user' AS user_id, o.id AS team_id, coalesce(sealgate_usd(s.total), 0) AS spend, coalesce(sealgate_usd(s.total), 0) AS total_spend,
       NULL::text AS budget_id, coalesce(m ->> 'role', 'user') AS role, sealgate_usd((m #>> '{caps,max_budget}')::int8) AS max_budget, o.tenant
FROM sealgate_objects o CROSS JOIN LATERAL jsonb_array_elements(coalesce(o.d #> '{group,members}', '[]')) m
LEFT JOIN LATERAL (SELECT sum(s.cost_micro_usd)::int8 AS total FROM sealgate_spend s
                   WHERE s.team = o.id AND s."user" = m ->> 'user' AND s.tenant = o.tenant) s ON true
WHERE o.kind = 'team' $v$);

SELECT pg_temp.sealgate_view('LiteLLM_OrganizationMembership', $v$
SELECT m ->> 'user' AS user_id, o.id AS organization_id, coalesce(m ->> 'role', 'user') AS user_role, NULL::text AS budget_id, o.tenant
FROM sealgate_objects o CROSS JOIN LATERAL jsonb_array_elements(coalesce(o.d #> '{group,members}', '[]')) m
WHERE o.kind = 'organization' $v$);

SELECT pg_temp.sealgate_view('LiteLLM_DeletedVerificationToken', $v$
SELECT e.id AS token, e.doc::jsonb #>> '{key,name}' AS key_name, e.doc::jsonb ->> 'alias' AS key_alias, e.doc::jsonb ->> 'user' AS user_id,
       e.doc::jsonb ->> 'team' AS team_id, sealgate_time((e.doc::jsonb ->> 'created_at')::int8) AS created_at,
       sealgate_time((e.doc::jsonb ->> 'updated_at')::int8) AS deleted_at, e.doc::jsonb ->> 'updated_by' AS deleted_by, e.tenant
FROM sealgate_deleted e WHERE e.kind = 'key' $v$);

SELECT pg_temp.sealgate_view('LiteLLM_DeletedTeamTable', $v$
SELECT e.id AS team_id, e.doc::jsonb ->> 'alias' AS team_alias, e.doc::jsonb ->> 'organization' AS organization_id,
       sealgate_time((e.doc::jsonb ->> 'created_at')::int8) AS created_at,
       sealgate_time((e.doc::jsonb ->> 'updated_at')::int8) AS deleted_at, e.doc::jsonb ->> 'updated_by' AS deleted_by, e.tenant
FROM sealgate_deleted e WHERE e.kind = 'team' $v$);

-- One row for each day (UTC), key, model and route of an object. Tags count once for each.
CREATE VIEW sealgate_days AS
SELECT to_char(c.started AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS date, c.tenant, c.key AS api_key, c.model, c.model AS model_group,
       c.provider AS custom_llm_provider, c.call_type AS endpoint, c."user" AS user_id, c.team AS team_id, c.organization AS organization_id,
       c.end_user AS end_user_id, c.tags, c.tokens_in, c.tokens_out, c.tokens_cached, c.spend, c.status, c.data
FROM sealgate_calls c;

DO $do$
DECLARE
    kind RECORD;
BEGIN
    FOR kind IN SELECT * FROM (VALUES
        ('LiteLLM_DailyUserSpend', 'user_id', 'user_id', ''),
        ('LiteLLM_DailyTeamSpend', 'team_id', 'team_id', 'WHERE team_id <> '''''),
        ('LiteLLM_DailyOrganizationSpend', 'organization_id', 'organization_id', 'WHERE organization_id <> '''''),
        ('LiteLLM_DailyEndUserSpend', 'end_user_id', 'end_user_id', 'WHERE end_user_id <> '''''),
        ('LiteLLM_DailyTagSpend', 'tag', 'tag', ', unnest(tags) AS tag'),
        ('LiteLLM_DailyAgentSpend', 'data::jsonb #>> ''{context,agent_id}''', 'agent_id', ''),
        ('LiteLLM_DailyGlobalSpend', '''global''::text', 'scope', '')) AS kinds (name, what, called, filter)
    LOOP
        PERFORM pg_temp.sealgate_view(kind.name, format(
            'SELECT %s AS %I, date, api_key, model, model_group, custom_llm_provider, endpoint, '
            'sum(tokens_in)::int8 AS prompt_tokens, sum(tokens_out)::int8 AS completion_tokens, '
            'sum(tokens_cached)::int8 AS cache_read_input_tokens, 0::int8 AS cache_creation_input_tokens, sum(spend) AS spend, '
            'count(*) AS api_requests, count(*) FILTER (WHERE status = ''success'') AS successful_requests, '
            'count(*) FILTER (WHERE status <> ''success'') AS failed_requests, tenant '
            'FROM sealgate_days %s GROUP BY 1, 2, 3, 4, 5, 6, 7, tenant', kind.what, kind.called, kind.filter));
    END LOOP;
END $do$;

SELECT pg_temp.sealgate_view('LiteLLM_VerificationTokenView', $v$
SELECT k.*, t.spend AS team_spend, t.max_budget AS team_max_budget, t.model_max_budget AS team_model_max_budget,
       t.tpm_limit AS team_tpm_limit, t.rpm_limit AS team_rpm_limit, t.tpd_limit AS team_tpd_limit, t.blocked AS team_blocked,
       t.team_alias, NULL::text AS project_alias
FROM sealgate_keys k LEFT JOIN sealgate_teams t ON t.team_id = k.team_id AND t.tenant = k.tenant $v$);

SELECT pg_temp.sealgate_view('MonthlyGlobalSpend', $v$
SELECT (started AT TIME ZONE 'UTC')::date AS date, sum(spend) AS spend FROM sealgate_calls
WHERE started >= now() - interval '30 days' GROUP BY 1 $v$);

SELECT pg_temp.sealgate_view('MonthlyGlobalSpendPerKey', $v$
SELECT (started AT TIME ZONE 'UTC')::date AS date, sum(spend) AS spend, key AS api_key FROM sealgate_calls
WHERE started >= now() - interval '30 days' GROUP BY 1, 3 $v$);

SELECT pg_temp.sealgate_view('MonthlyGlobalSpendPerUserPerKey', $v$
SELECT (started AT TIME ZONE 'UTC')::date AS date, sum(spend) AS spend, key AS api_key, "user" FROM sealgate_calls
WHERE started >= now() - interval '30 days' GROUP BY 1, 3, 4 $v$);

SELECT pg_temp.sealgate_view('Last30dKeysBySpend', $v$
SELECT c.key AS api_key, k.key_alias, k.key_name, sum(c.spend) AS total_spend
FROM sealgate_calls c LEFT JOIN sealgate_keys k ON k.token = c.key AND k.tenant = c.tenant
WHERE c.started >= now() - interval '30 days' GROUP BY 1, 2, 3 ORDER BY total_spend DESC $v$);

SELECT pg_temp.sealgate_view('Last30dModelsBySpend', $v$
SELECT model, sum(spend) AS total_spend FROM sealgate_calls
WHERE started >= now() - interval '30 days' AND model <> '' GROUP BY 1 ORDER BY total_spend DESC $v$);

SELECT pg_temp.sealgate_view('Last30dTopEndUsersSpend', $v$
SELECT end_user, count(*) AS total_events, sum(spend) AS total_spend FROM sealgate_calls
WHERE started >= now() - interval '30 days' AND end_user <> '' GROUP BY 1 ORDER BY total_spend DESC LIMIT 100 $v$);

SELECT pg_temp.sealgate_view('DailyTagSpend', $v$
SELECT tag AS individual_request_tag, (started AT TIME ZONE 'UTC')::date AS spend_date, count(*) AS log_count, sum(spend) AS total_spend
FROM sealgate_calls, unnest(tags) AS tag GROUP BY 1, 2 $v$);

DROP FUNCTION pg_temp.sealgate_view(text, text);
