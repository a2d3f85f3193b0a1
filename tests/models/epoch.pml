/* Model of core/epoch.h: two readers in turns, one writer that unlinks a chunk, waits for the
 * readers by enter/now/advance/horizon, and gives the chunk back.
 *
 * Property: no reader inside a turn ever holds a chunk that was given back.
 * -DBROKEN_STAMP notes the moment before the unlink; -DBROKEN_ENTER looks for the chunk before the
 * reader has said that it is there. Both must fail.
 */
#define IDLE 255
#define READERS 2

byte now = 1;
byte seen[READERS] = IDLE;
byte slot = 1; /* the chunk that the key leads to */
bool given_back[4];

proctype reader(byte id) {
  byte e, chunk;
  byte turn = 0;
  do
  :: turn < 2 ->
     e = now;       /* enter: load, then store */
#ifdef BROKEN_ENTER
     chunk = slot;
     seen[id] = e;
#else
     seen[id] = e;
     chunk = slot;  /* find */
#endif
     assert(!given_back[chunk]);
     skip;          /* ... look at it a while ... */
     assert(!given_back[chunk]);
     if             /* refresh: the pointer is dropped, the turn goes on */
     :: e = now;
        seen[id] = e;
        chunk = slot;
        assert(!given_back[chunk])
     :: skip
     fi;
     seen[id] = IDLE;
     turn++
  :: else -> break
  od
}

proctype writer() {
  byte stamp, h, i, s, old;
  byte round = 0;
  do
  :: round < 2 ->
     old = slot;
#ifdef BROKEN_STAMP
     stamp = now;
     now++;
     slot = old + 1;
#else
     slot = old + 1; /* unlink by replacing */
     stamp = now;
     now++;          /* advance */
#endif
     /* horizon: now first, then every reader */
     h = now;
     i = 0;
     do
     :: i < READERS ->
        s = seen[i]; /* one load */
        if
        :: s < h -> h = s
        :: else -> skip
        fi;
        i++
     :: else -> break
     od;
     if
     :: stamp < h -> given_back[old] = true
     :: else -> skip
     fi;
     round++
  :: else -> break
  od
}

init {
  atomic {
    run reader(0);
    run reader(1);
    run writer()
  }
}
