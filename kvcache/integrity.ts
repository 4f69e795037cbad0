import type { Block, BlockPool } from "./block-pool.ts";
import type { BlockTable } from "./block-table.ts";
import type { SeqId } from "./cache-op.ts";
import type { HostBlockCounts } from "./host-tier.ts";
import type { HostSegment, PrefixNode } from "./prefix-cache.ts";
import type { SeqIdPool } from "./seq-id-pool.ts";

/** All state of a manager. */
export interface KvCacheState {
  readonly blockSize: number;
  readonly pool: BlockPool;
  readonly seqIds: SeqIdPool;
  readonly tables: ReadonlyMap<SeqId, BlockTable>;
  readonly branches: ReadonlyMap<SeqId, BlockTable>;
  readonly nodes: readonly PrefixNode[];
  /** In host memory. */
  readonly segments: readonly HostSegment[];
  /** On disk, in memory too or not. */
  readonly filed: readonly HostSegment[];
  readonly wanted: readonly HostSegment[];
  readonly hostCounts: HostBlockCounts;
  readonly numUsedCells: number | null;
}

/** Every broken invariant as a sentence. O(blocks + tables); for tests and idle moments. */
export function findViolations(state: KvCacheState): string[] {
  return [
    ...checkBlocks(state),
    ...checkFreeList(state.pool),
    ...checkTables(state),
    ...checkBranches(state),
    ...checkNodes(state),
    ...checkHost(state),
    ...checkCells(state),
  ];
}

function* checkBlocks({ pool, tables }: KvCacheState): Iterable<string> {
  const holders = new Map<Block, Set<SeqId>>(pool.blocks.map((block) => [block, new Set()]));
  for (const table of tables.values()) {
    for (const block of table.blocks) holders.get(block)!.add(table.seqId);
  }
  for (const [block, expected] of holders) {
    const numRunning = [...expected].filter((seqId) => tables.get(seqId)!.kind === "running").length;
    if (!isSameSet(new Set(block.holders), expected))
      yield `block ${block.id}: holders do not match the tables`;
    if (block.numRunningHolders !== numRunning) yield `block ${block.id}: wrong number of running holders`;
  }
  const { total, free, cached, used } = pool.counts();
  if (free + cached + used !== total) yield "free, cached and used blocks do not add up";
  const numUsed = pool.blocks.filter((block) => block.numRunningHolders > 0).length;
  if (used !== numUsed) yield `${numUsed} blocks are in use, ${used} are counted`;
}

function* checkFreeList(pool: BlockPool): Iterable<string> {
  const freeIds = new Set(pool.freeIds());
  if (freeIds.size !== pool.numFree) yield "a block is free twice";
  for (const block of pool.blocks) {
    const isFree = block.holders.size === 0;
    if (isFree !== freeIds.has(block.id)) yield `block ${block.id}: free list and holders disagree`;
  }
}

function* checkTables({ tables, seqIds, blockSize }: KvCacheState): Iterable<string> {
  if (seqIds.numTaken !== tables.size) yield "taken sequence ids and tables differ in number";
  for (const { seqId, blocks, path, key } of tables.values()) {
    const name = `sequence ${seqId}`;
    if (!seqIds.isTaken(seqId)) yield `${name}: has a table but a free id`;
    if (path.length > blocks.length) yield `${name}: more block identities than blocks`;
    if (blocks.slice(path.length).some((block) => block.holders.size > 1))
      yield `${name}: shares an open block`;
    for (const [index, node] of path.entries()) {
      if (!node.holders.has(seqId)) yield `${name}: not a holder of its node ${index}`;
      if (index > 0 && node.parent !== path[index - 1]) yield `${name}: path broken at ${index}`;
      if (node.cacheSalt !== key.cacheSalt) yield `${name}: crosses salts`;
      const start = index * blockSize;
      if (node.tokens.some((token, offset) => token !== key.tokens[start + offset])) {
        yield `${name}: tokens of block ${index} differ`;
      }
    }
  }
}

function* checkBranches({ tables, branches }: KvCacheState): Iterable<string> {
  for (const table of tables.values()) {
    if ((table.kind === "retained") !== branches.has(table.seqId))
      yield `sequence ${table.seqId}: wrong kind`;
  }
  for (const { seqId, blocks, path } of branches.values()) {
    if (path.length === 0 || path.length !== blocks.length) yield `branch ${seqId}: not made of full blocks`;
    if (path.at(-1)?.holders.size !== 1) yield `branch ${seqId}: covered by another`;
  }
}

function* checkNodes({ nodes, tables }: KvCacheState): Iterable<string> {
  for (const node of nodes) {
    if (node.holders.size === 0 && node.hosted === null) yield "a node without a copy is in the tree";
    for (const seqId of node.holders) {
      if (tables.get(seqId)?.path.includes(node) !== true)
        yield `a node lists sequence ${seqId}, which does not reach it`;
    }
  }
}

function* checkHost(state: KvCacheState): Iterable<string> {
  const { nodes, segments, filed, wanted, hostCounts } = state;
  const known = new Set(nodes);
  const all = new Set([...segments, ...filed]);
  for (const segment of all) yield* checkSegment(segment, known, state.blockSize);
  for (const { hosted } of nodes) {
    if (hosted !== null && !all.has(hosted)) yield `host slot ${hosted.slot}: named by a node, but gone`;
  }
  const slots = new Set(segments.map(({ slot }) => slot));
  if (slots.size !== segments.length) yield "two segments have one host slot";
  const numHosted = segments.reduce((sum, segment) => sum + segment.numCopiedBlocks, 0);
  if (numHosted !== hostCounts.used)
    yield `${numHosted} blocks are in host memory, ${hostCounts.used} are counted`;
  if (hostCounts.used > hostCounts.total) yield "more blocks are in host memory than it may hold";
  if (wanted.some((segment) => !filed.includes(segment)))
    yield "a segment is wanted from disk that is not there";
}

function* checkSegment(
  segment: HostSegment,
  known: ReadonlySet<PrefixNode>,
  blockSize: number,
): Iterable<string> {
  const { slot, startBlock, nodes } = segment;
  const name = `host slot ${slot}`;
  if (nodes.some((node) => node.hosted !== segment)) yield `${name}: not the copy of its nodes`;
  if (nodes.some((node) => !known.has(node))) yield `${name}: out of reach`;
  if (nodes.some((node, index) => index > 0 && node.parent !== nodes[index - 1])) {
    yield `${name}: not consecutive`;
  }
  if (depthOf(nodes[0]!) !== startBlock) yield `${name}: begins at another block`;
  if (nodes.some((node) => node.tokens.length !== blockSize)) yield `${name}: not made of full blocks`;
}

function depthOf(node: PrefixNode): number {
  let depth = -1;
  for (let parent = node.parent; parent !== null; parent = parent.parent) depth += 1;
  return depth;
}

function* checkCells({ pool, blockSize, numUsedCells }: KvCacheState): Iterable<string> {
  const numHeldCells = (pool.blocks.length - pool.numFree) * blockSize;
  if (numUsedCells !== null && numUsedCells > numHeldCells) {
    yield `${numUsedCells} cells are in use, ${numHeldCells} are accounted for`;
  }
}

function isSameSet<T>(left: ReadonlySet<T>, right: ReadonlySet<T>): boolean {
  return left.size === right.size && [...left].every((value) => right.has(value));
}
