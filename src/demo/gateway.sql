-- The four tables of New API (2026-02) that a key's way leads through, as its server creates them, and rows
-- enough to be a gateway: channel 1 was disabled by the gateway (its key expired), channel 2 is in service.
CREATE TABLE `channels` (
    `id` integer,
    `type` integer DEFAULT 0,
    `key` text NOT NULL,
    `open_ai_organization` text,
    `test_model` text,
    `status` integer DEFAULT 1,
    `name` text,
    `weight` integer DEFAULT 0,
    `created_time` integer,
    `test_time` integer,
    `response_time` integer,
    `base_url` text DEFAULT "",
    `other` text,
    `balance` real,
    `balance_updated_time` integer,
    `models` text,
    `group` varchar(64) DEFAULT "default",
    `used_quota` integer DEFAULT 0,
    `model_mapping` text,
    `status_code_mapping` varchar(1024) DEFAULT "",
    `priority` integer DEFAULT 0,
    `auto_ban` integer DEFAULT 1,
    `other_info` text,
    `tag` text,
    `setting` text,
    `param_override` text,
    `header_override` text,
    `remark` varchar(255),
    `channel_info` json,
    `settings` text,
    PRIMARY KEY (`id`)
);
CREATE INDEX `idx_channels_tag` ON `channels`(`tag`);
CREATE INDEX `idx_channels_name` ON `channels`(`name`);

CREATE TABLE `abilities` (
    `group` varchar(64),
    `model` varchar(255),
    `channel_id` integer,
    `enabled` numeric,
    `priority` integer DEFAULT 0,
    `weight` integer DEFAULT 0,
    `tag` text,
    PRIMARY KEY (`group`,`model`,`channel_id`)
);
CREATE INDEX `idx_abilities_tag` ON `abilities`(`tag`);
CREATE INDEX `idx_abilities_weight` ON `abilities`(`weight`);
CREATE INDEX `idx_abilities_priority` ON `abilities`(`priority`);
CREATE INDEX `idx_abilities_channel_id` ON `abilities`(`channel_id`);

CREATE TABLE `users` (
    `id` integer,
    `username` text UNIQUE,
    `password` text NOT NULL,
    `display_name` text,
    `role` integer DEFAULT 1,
    `status` integer DEFAULT 1,
    `email` text,
    `github_id` text,
    `discord_id` text,
    `oidc_id` text,
    `wechat_id` text,
    `telegram_id` text,
    `access_token` char(32),
    `quota` integer DEFAULT 0,
    `used_quota` integer DEFAULT 0,
    `request_count` integer DEFAULT 0,
    `group` varchar(64) DEFAULT "default",
    `aff_code` varchar(32),
    `aff_count` integer DEFAULT 0,
    `aff_quota` integer DEFAULT 0,
    `aff_history` integer DEFAULT 0,
    `inviter_id` integer,
    `deleted_at` datetime,
    `linux_do_id` text,
    `setting` text,
    `remark` varchar(255),
    `stripe_customer` varchar(64),
    PRIMARY KEY (`id`)
);
CREATE UNIQUE INDEX `idx_users_aff_code` ON `users`(`aff_code`);
CREATE UNIQUE INDEX `idx_users_access_token` ON `users`(`access_token`);
CREATE INDEX `idx_users_we_chat_id` ON `users`(`wechat_id`);
CREATE INDEX `idx_users_oidc_id` ON `users`(`oidc_id`);
CREATE INDEX `idx_users_discord_id` ON `users`(`discord_id`);
CREATE INDEX `idx_users_email` ON `users`(`email`);
CREATE INDEX `idx_users_linux_do_id` ON `users`(`linux_do_id`);
CREATE INDEX `idx_users_inviter_id` ON `users`(`inviter_id`);
CREATE INDEX `idx_users_telegram_id` ON `users`(`telegram_id`);
CREATE INDEX `idx_users_git_hub_id` ON `users`(`github_id`);
CREATE INDEX `idx_users_display_name` ON `users`(`display_name`);
CREATE INDEX `idx_users_username` ON `users`(`username`);
CREATE INDEX `idx_users_stripe_customer` ON `users`(`stripe_customer`);
CREATE INDEX `idx_users_deleted_at` ON `users`(`deleted_at`);

CREATE TABLE `tokens` (
    `id` integer,
    `user_id` integer,
    `key` char(48),
    `status` integer DEFAULT 1,
    `name` text,
    `created_time` integer,
    `accessed_time` integer,
    `expired_time` integer DEFAULT -1,
    `remain_quota` integer DEFAULT 0,
    `unlimited_quota` numeric,
    `model_limits_enabled` numeric,
    `model_limits` varchar(1024) DEFAULT "",
    `allow_ips` text DEFAULT "",
    `used_quota` integer DEFAULT 0,
    `group` text DEFAULT "",
    `cross_group_retry` numeric,
    `deleted_at` datetime,
    PRIMARY KEY (`id`)
);
CREATE INDEX `idx_tokens_deleted_at` ON `tokens`(`deleted_at`);
CREATE INDEX `idx_tokens_name` ON `tokens`(`name`);
CREATE UNIQUE INDEX `idx_tokens_key` ON `tokens`(`key`);
CREATE INDEX `idx_tokens_user_id` ON `tokens`(`user_id`);

INSERT INTO users (id, username, password, display_name, role, status, access_token, quota, "group", aff_code)
VALUES (1, 'root', 'demo', 'Root User', 100, 1, 'demo-access-token-of-the-root-01', 100000000, 'default', 'D001'),
       (2, 'alice', 'demo', 'alice', 1, 1, NULL, 1000000, 'default', 'D002');

INSERT INTO tokens (id, user_id, key, status, name, created_time, accessed_time, unlimited_quota)
VALUES (1, 2, 'demoAlice', 1, 'default', 1759900060, 1759900090, 1);

INSERT INTO channels (id, type, key, status, name, created_time, models, channel_info)
VALUES (1, 1, 'an-access-token-that-expired-last-week', 3, 'chatgpt', 1759900060, 'gpt-4o,gpt-4o-mini', CAST('{"is_multi_key":false,"multi_key_size":0,"multi_key_status_list":null,"multi_key_polling_index":0,"multi_key_mode":""}' AS BLOB)),
       (2, 1, 'the-key-that-the-script-looks-after-01', 1, 'fed by the script', 1759900120, 'gpt-4o', CAST('{"is_multi_key":false,"multi_key_size":0,"multi_key_status_list":null,"multi_key_polling_index":0,"multi_key_mode":""}' AS BLOB));

INSERT INTO abilities ("group", model, channel_id, enabled)
VALUES ('default', 'gpt-4o', 1, 0), ('default', 'gpt-4o-mini', 1, 0), ('default', 'gpt-4o', 2, 1);
