// What passed, compiled against the SDKs' TypeScript declarations: each value a literal of its type, so that a missing
// member, a wrong kind, a word out of an enumeration and a member that nobody declared are all errors.
//
// The exceptions stand in PRELUDE, each with its reason.

import { execFile } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { SCRATCH } from './harness.mjs';

const modules = join(dirname(fileURLToPath(import.meta.url)), 'node_modules');

const PRELUDE = `
import type { ChatCompletion, ChatCompletionChunk, ChatCompletionCreateParams, ChatCompletionMessage } from 'openai/resources/chat/completions/completions';
import type { Model } from 'openai/resources/models';
import type { Message, MessageCountTokensParams, MessageCreateParams, MessageTokensCount, RawMessageStreamEvent } from '@anthropic-ai/sdk/resources/messages/messages';
import type { ModelInfo } from '@anthropic-ai/sdk/resources/models';
import type { ErrorResponse } from '@anthropic-ai/sdk/resources/shared';

// Reasoning as compatible servers tell it, and annotations in a stream: documented, not declared.
type Reasoning = { type: 'reasoning.text'; text?: string; signature?: string | null } | { type: 'reasoning.encrypted'; data: string };
interface Reasoned {
  reasoning_content?: string | null;
  reasoning_details?: Array<Reasoning & { index?: number; id?: string | null; format?: string | null }>;
}
declare module 'openai/resources/chat/completions/completions' {
  interface ChatCompletionMessage extends Reasoned {}
  namespace ChatCompletionChunk {
    namespace Choice {
      interface Delta extends Reasoned {
        annotations?: Array<ChatCompletionMessage.Annotation>;
      }
    }
  }
}
// Both are always there, if only as null.
type OpenAIFault = { error: { message: string; type: string; param: string | null; code: string | null } };
type OpenAIModels = { object: 'list'; data: Model[] };

// Anthropic's declarations say of a member that can be null that it is always there. Its answers do not keep to that
// (the published examples have no \`container\`, older models name no \`caller\`), and its Python SDK does not ask it.
type Absent<T, K> = null extends T ? K : K extends 'caller' ? K : never;
type Sent<T> = T extends Array<infer E>
  ? Array<Sent<E>>
  : T extends object
    ? { [K in keyof T as K extends Absent<T[K], K> ? never : K]: Sent<T[K]> } & { [K in keyof T as Absent<T[K], K>]?: Sent<T[K]> }
    : T;
type AnthropicMessage = Sent<Message>;
type AnthropicEvent = Sent<RawMessageStreamEvent>;
// Documented for 413 and not declared.
type TooLarge = { type: 'error'; error: { type: 'request_too_large'; message: string }; request_id?: string | null };
type AnthropicFault = Sent<ErrorResponse> | TooLarge;
type AnthropicModels = { data: Sent<ModelInfo>[]; has_more: boolean; first_id: string | null; last_id: string | null };
// Older models take these, for which the SDK has no members any more.
type AnthropicRequest = MessageCreateParams & { temperature?: number; top_p?: number; top_k?: number };
type OpenAIRequest = ChatCompletionCreateParams;
`;

const OPTIONS = {
  strict: true,
  noEmit: true,
  skipLibCheck: true,
  target: 'es2022',
  module: 'esnext',
  moduleResolution: 'bundler',
  types: [],
  paths: { 'openai/*': [`${modules}/openai/*`], '@anthropic-ai/sdk/*': [`${modules}/@anthropic-ai/sdk/*`] },
};

// Compiles [{ type, text }], each text being JSON as it passed, and gives [{ at, problem }].
export async function compile(list) {
  const dir = await mkdtemp(join(SCRATCH, 'types-'));
  const first = PRELUDE.split('\n').length;
  // JSON escapes line ends, so that a value stands on a line of its own once the spacing between members is gone.
  const lines = list.map(({ type, text }, i) => `export const v${i}: ${type} = ${JSON.stringify(JSON.parse(text))};`);
  await writeFile(join(dir, 'passed.ts'), `${PRELUDE}${lines.join('\n')}\n`);
  await writeFile(join(dir, 'tsconfig.json'), JSON.stringify({ compilerOptions: OPTIONS, files: ['passed.ts'] }));
  const tsc = join(modules, 'typescript/bin/tsc');
  const said = await new Promise((done, failed) => {
    execFile(process.execPath, [tsc, '-p', dir, '--pretty', 'false'], { maxBuffer: 1 << 26 }, (error, out, complaint) => {
      // It ends with an error where it found some, and must have said which.
      if (error && !out.includes('error TS')) failed(new Error(`the compiler failed: ${error} ${out}${complaint}`));
      else done(out);
    });
  });
  const problems = [];
  for (const line of said.split('\n').filter(Boolean)) {
    const found = /passed\.ts\((\d+),\d+\): error (.*)/.exec(line);
    const at = found ? Number(found[1]) - first : -1;
    if (at >= 0) problems.push({ at, problem: `${list[at].type}: ${found[2].slice(0, 600)}\n${lines[at].slice(0, 600)}` });
    else if (found || !line.startsWith(' ')) throw new Error(`the compiler says: ${line}`);
    else if (problems.length) problems.at(-1).problem += `\n${line.slice(0, 600)}`;
  }
  return problems;
}
