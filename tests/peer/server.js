// The authorization server that the tests judge keyfresh by: oidc-provider, unchanged, with a public client
// whose refresh tokens always rotate and whose replay kills the grant. In front of it stands a token
// endpoint (http and https) that notes every request and can fail in every way of faults.js; beside it a
// door for the tests that mints grants without a browser and takes the orders for faults.
//
// It ends with its standard input, so that none is left behind, and keeps its state over a kill -9. The
// modules of package-lock.json lie elsewhere (--modules): nothing is installed into the source tree.

import { openSync, readFileSync, writeSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';

import { Journal, fingerprint } from './adapter.js';
import { Orders, act } from './faults.js';
import { Line } from './line.js';

const CLIENT = 'test';
const HOST = '127.0.0.1';
const SCOPE = 'openid offline_access';
const DAY = 24 * 3600;

const text = { type: 'string' };
const { values: options } = parseArgs({
  // Modules, where the state is kept, and the endpoints' ports; 0 is any free one.
  options: { modules: text, state: text, http: { ...text, default: '0' }, https: { ...text, default: '0' } },
});
const { default: Provider } = await import(
  pathToFileURL(createRequire(join(options.modules, 'package.json')).resolve('oidc-provider'))
);

const journal = new Journal(join(options.state, 'journal.jsonl'));
const orders = new Orders();
const log = openSync(join(options.state, 'log.jsonl'), 'a+', 0o600);
// Numbers go on where the process before this one stopped.
let [connections, requests] = Array(2).fill(readFileSync(log, 'latin1').split('\n').length - 1);
const note = (event, more) =>
  writeSync(log, `${JSON.stringify({ event, time: performance.timeOrigin + performance.now(), ...more })}\n`);

const provider = new Provider(`http://${HOST}`, {
  adapter: (model) => journal.adapter(model),
  clients: [
    {
      client_id: CLIENT,
      token_endpoint_auth_method: 'none',
      application_type: 'native',
      grant_types: ['authorization_code', 'refresh_token'],
      redirect_uris: ['com.example.test:/callback'],
    },
  ],
  cookies: { keys: ['of a test'] },
  features: { devInteractions: { enabled: false } },
  findAccount: async (_, accountId) => ({ accountId, claims: async () => ({ sub: accountId }) }),
  rotateRefreshToken: true,
  ttl: { AccessToken: 3600, IdToken: 3600, Grant: 30 * DAY, RefreshToken: 30 * DAY },
});

// Why a grant was refused: RFC 6749 has one word for a replay and for a token never seen.
const refusals = new Map();
provider.on('grant.error', (ctx, error) => refusals.set(ctx.get('x-number'), error.error_detail ?? error.message));

const listen = (server, port) =>
  new Promise((told, failed) => {
    server.once('error', failed).listen(Number(port), HOST, () => told(server.address().port));
  });

const read = async (stream) => Buffer.concat(await stream.toArray()).toString();

const inside = await listen(http.createServer(provider.callback()), 0);

/** What the provider itself answers. */
function handled(number, request, body) {
  return new Promise((told, failed) => {
    const headers = { ...request.headers, connection: 'close', 'x-number': number };
    const options = { agent: false, host: HOST, port: inside, method: request.method, path: request.url, headers };
    http
      .request(options, async (reply) => {
        const type = reply.headers['content-type'];
        const kept = type ? { 'content-type': type } : {};
        const answer = { status: reply.statusCode, headers: kept, body: await read(reply) };
        const members = type?.includes('json') ? JSON.parse(answer.body) : {};
        note('handled', {
          number,
          status: answer.status,
          error: members.error ?? null,
          refusal: refusals.get(String(number)) ?? null,
          issued: members.refresh_token ? fingerprint(members.refresh_token) : null,
        });
        told(answer);
      })
      .on('error', failed)
      .end(body);
  });
}

async function endpoint(request) {
  const body = await read(request);
  requests += 1;
  const number = requests;
  const parameters = new URLSearchParams(body);
  const token = parameters.get('refresh_token');
  const grant = token && journal.family(token);
  const order = orders.next(grant);
  note('request', {
    number,
    connection: request.socket.number,
    method: request.method,
    path: request.url,
    grant_type: parameters.get('grant_type'),
    sent: token && fingerprint(token),
    grant,
    fault: order?.fault ?? null,
  });
  const line = new Line(request.socket, (left) => note('answered', { number, ...left }));
  const answer = order?.handled === false ? undefined : await handled(number, request, body);
  if (order) await act(order, line, answer);
  else line.send(answer);
}

// A client that was killed before its request had come is no trouble of ours.
const answered = (request) =>
  endpoint(request).catch((error) => note(request.complete ? 'broken' : 'aborted', { problem: error.message }));

async function mint() {
  const client = await provider.Client.find(CLIENT);
  const grant = new provider.Grant({ accountId: 'somebody', clientId: CLIENT });
  grant.addOIDCScope(SCOPE);
  const of = { accountId: 'somebody', client, grantId: await grant.save(), gty: 'authorization_code', scope: SCOPE };
  const token = await new provider.RefreshToken(of).save();
  note('minted', { grant: of.grantId, issued: fingerprint(token) });
  return { grant: of.grantId, refresh_token: token };
}

async function door(request, response) {
  const [, what, id] = request.url.split('/');
  const calls = {
    'POST grants': mint,
    'GET grants': async () => journal.standing(id),
    'POST faults': async () => ({ waiting: orders.place(JSON.parse(await read(request)), id) }),
  };
  let [status, result] = [200, null];
  try {
    result = await calls[`${request.method} ${what}`]();
  } catch (error) {
    [status, result] = [400, { problem: error.message }];
  }
  const body = JSON.stringify(result);
  response.writeHead(status, { 'content-length': Buffer.byteLength(body) }).end(body);
}

const numbered = (socket) => {
  connections += 1;
  Object.assign(socket, { number: connections });
  // A client that was killed resets its connection: that is for the log, not the end of the server.
  socket.on('error', () => {});
};
const fronts = [
  http.createServer(answered).on('connection', numbered),
  https
    .createServer(
      { cert: readFileSync(join(options.state, 'chain.pem')), key: readFileSync(join(options.state, 'key.pem')) },
      answered,
    )
    .on('secureConnection', numbered)
    .on('tlsClientError', (error) => note('refused-tls', { problem: error.code })),
];
fronts.forEach((front) => Object.assign(front, { keepAliveTimeout: 600_000 }));
const ready = {
  http: await listen(fronts[0], options.http),
  https: await listen(fronts[1], options.https),
  control: await listen(http.createServer(door), 0),
};
process.stdin.resume().on('end', () => process.exit(0));
process.stdout.write(`${JSON.stringify(ready)}\n`);
