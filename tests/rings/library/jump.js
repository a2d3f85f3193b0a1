// Asks @subspace/jump-consistent-hash for the bucket of every hash. Each line of the input is a
// number of buckets and then hashes in 16 hex digits.
const {jumpConsistentHash} = require('@subspace/jump-consistent-hash');

for (const line of require('fs').readFileSync(0, 'utf8').trimEnd().split('\n')) {
  const [buckets, ...hashes] = line.split(' ');
  console.log(hashes.map((hash) =>
    jumpConsistentHash(Uint8Array.from(Buffer.from(hash, 'hex')), Number(buckets))).join(' '));
}
