// node-zookeeper-client, unchanged, against a server: `client.js HOST:PORT`. Exit code 0: every check holds.
// The library's folder is told by NODE_PATH. Its version 1.1.3 has no persistent watches.
"use strict";

const assert = require("node:assert/strict");
const { once } = require("node:events");
const { promisify } = require("node:util");
const zookeeper = require("node-zookeeper-client");

const BOUND_MS = 60_000;
const server = process.argv[2];

/** A connected client whose methods give promises. */
async function connect() {
  const client = zookeeper.createClient(server, { sessionTimeout: 10_000, retries: 0 });
  const connected = once(client, "connected");
  client.connect();
  await within("a session", connected);
  const calls = {};
  for (const name of ["create", "remove", "exists", "getData", "setData", "getChildren", "getACL", "setACL", "mkdirp"]) {
    calls[name] = promisify(client[name].bind(client));
  }
  // These answer with two values, of which `promisify` would keep the first.
  calls.read = (path, watcher) =>
    new Promise((resolve, reject) => {
      client.getData(path, watcher, (error, data, stat) => (error ? reject(error) : resolve([data, stat])));
    });
  calls.list = (path, watcher) =>
    new Promise((resolve, reject) => {
      client.getChildren(path, watcher, (error, names, stat) => (error ? reject(error) : resolve([names, stat])));
    });
  calls.acl = (path) =>
    new Promise((resolve, reject) => {
      client.getACL(path, (error, acls, stat) => (error ? reject(error) : resolve([acls, stat])));
    });
  calls.raw = client;
  calls.close = () => {
    const closed = once(client, "disconnected");
    client.close();
    return within("the end of a session", closed);
  };
  return calls;
}

function within(what, promise) {
  let timer;
  const bound = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("waited in vain: " + what)), BOUND_MS);
  });
  return Promise.race([promise, bound]).finally(() => clearTimeout(timer));
}

/** A watcher, and a promise of what it hears. */
function watcher() {
  let heard;
  const event = new Promise((resolve) => (heard = resolve));
  return [heard, event];
}

function fails(code, promise) {
  return assert.rejects(promise, (error) => {
    assert.equal(error.code, code, String(error));
    return true;
  });
}

const mode = zookeeper.CreateMode;
const failure = zookeeper.Exception;

async function nodes() {
  const client = await connect();
  assert.equal(await client.create("/node", Buffer.from("one")), "/node");
  await fails(failure.NODE_EXISTS, client.create("/node"));
  await fails(failure.NO_NODE, client.create("/none/x"));
  assert.equal(await client.create("/node/s-", mode.PERSISTENT_SEQUENTIAL), "/node/s-0000000000");
  const ephemeral = await client.create("/node/e-", mode.EPHEMERAL_SEQUENTIAL);
  assert.equal(ephemeral, "/node/e-0000000001");
  const stat = await client.exists(ephemeral);
  assert.deepEqual(stat.ephemeralOwner, client.raw.getSessionId());
  await fails(failure.NO_CHILDREN_FOR_EPHEMERALS, client.create(ephemeral + "/x"));
  assert.equal((await client.setData("/node", Buffer.from("three"), 0)).version, 1);
  await fails(failure.BAD_VERSION, client.setData("/node", Buffer.from(""), 0));
  const [data, read] = await client.read("/node");
  assert.equal(data.toString(), "three");
  assert.equal(read.numChildren, 2);
  const [names] = await client.list("/node");
  assert.deepEqual(names.sort(), ["e-0000000001", "s-0000000000"]);
  assert.equal(await client.mkdirp("/node/deep/er"), "/node/deep/er");
  await fails(failure.NOT_EMPTY, client.remove("/node"));
  await fails(failure.BAD_VERSION, client.remove("/node/deep/er", 4));
  await client.remove("/node/deep/er", 0);
  assert.equal(await client.exists("/node/deep/er"), null);
  await promisify(client.raw.removeRecursive.bind(client.raw))("/node", -1);
  assert.equal(await client.exists("/node"), null);
  await client.close();
}

async function watches() {
  const [reader, writer] = [await connect(), await connect()];
  let [hear, event] = watcher();
  assert.equal(await reader.exists("/watched", hear), null);
  await writer.create("/watched", mode.EPHEMERAL);
  assert.equal((await within("a creation", event)).getName(), "NODE_CREATED");
  [hear, event] = watcher();
  await reader.read("/watched", hear);
  await writer.setData("/watched", Buffer.from("x"));
  assert.equal((await within("a change", event)).getName(), "NODE_DATA_CHANGED");
  [hear, event] = watcher();
  const [hearChildren, children] = watcher();
  await reader.read("/watched", hear);
  await reader.list("/", hearChildren);
  await writer.close();
  const deleted = await within("a deletion", event);
  assert.deepEqual([deleted.getName(), deleted.getPath()], ["NODE_DELETED", "/watched"]);
  assert.equal((await within("a child", children)).getName(), "NODE_CHILDREN_CHANGED");
  await reader.close();
}

async function transactions() {
  const client = await connect();
  const commit = (transaction) =>
    new Promise((resolve) => transaction.commit((error, results) => resolve([error, results])));
  let [error, results] = await commit(
    client.raw.transaction().create("/tx", Buffer.from("0")).setData("/tx", Buffer.from("1"), 0).check("/tx", 1),
  );
  assert.equal(error, null);
  assert.equal(results.length, 3);
  [error, results] = await commit(client.raw.transaction().setData("/tx", Buffer.from("lost")).remove("/tx/none", -1));
  assert.equal(error.code, failure.NO_NODE);
  assert.equal((await client.read("/tx"))[0].toString(), "1");
  await client.close();
}

async function acls() {
  const [owner, stranger] = [await connect(), await connect()];
  owner.raw.addAuthInfo("digest", Buffer.from("noder:secret"));
  await owner.create("/own", Buffer.from("x"), zookeeper.ACL.CREATOR_ALL_ACL);
  await fails(failure.NO_AUTH, stranger.read("/own"));
  const [list, stat] = await owner.acl("/own");
  assert.equal(list[0].id.scheme, "digest");
  assert.equal(stat.aversion, 0);
  assert.equal((await owner.setACL("/own", list.concat(zookeeper.ACL.READ_ACL_UNSAFE), 0)).aversion, 1);
  assert.equal((await stranger.read("/own"))[0].toString(), "x");
  await fails(failure.NO_AUTH, stranger.setData("/own", Buffer.from("y")));
  await owner.close();
  await stranger.close();
}

async function main() {
  for (const check of [nodes, watches, transactions, acls]) {
    const start = Date.now();
    try {
      await check();
    } catch (error) {
      console.log("FAILED " + check.name);
      console.log(error);
      process.exit(1);
    }
    console.log(`ok ${check.name}, ${Date.now() - start} ms`);
  }
}

main();
