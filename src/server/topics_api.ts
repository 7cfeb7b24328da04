/**
 * What both entry points export of topics and their brokers.
 *
 * @module
 */

export type { SlowReader } from "../topics/delivery.ts";
export type { SlowReaderPolicy, TopicEnvelope, TopicSettings } from "../topics/topic_settings.ts";
export type { PublishOptions } from "../topics/publication.ts";
export type { TopicGap, TopicPresence } from "../topics/topics.ts";
export type {
  AppendOptions,
  AppendResult,
  MembersOptions,
  SubscribeOptions,
  SubscribeResult,
  TopicMembersPage,
} from "./server_topics.ts";
export type { GapReason } from "../topics/kept_stream.ts";
export type { PresenceChange, TopicMember } from "../topics/presence_table.ts";
export { BrokerError, BrokerMessage } from "../topics/broker.ts";
export type {
  Appended,
  Broker,
  BrokerErrorCode,
  BrokerHost,
  BrokerNode,
  BrokerOptions,
  BrokerState,
  KeptMessage,
  KeptOptions,
  TopicHistory,
  TopicPosition,
} from "../topics/broker.ts";
export { memoryBroker, type MemoryBrokerOptions } from "../topics/brokers/memory_broker.ts";
