/* Model of core/hash_table.h: one key X in an old segment (0) and its successor (1), each with X's
 * home bucket and second bucket reduced to one slot. A reader looks for X without a lock while a
 * writer, one step at a time, displaces it, brings it home, replaces it, builds the new segment,
 * removes it.
 *
 * Properties: a reader that runs while X is in the table all the time finds it; a reader that starts
 * after X was removed does not.
 * Must fail: -DBROKEN_AWAY (the count is raised after the move), -DBROKEN_VERSION (coming home does
 * not raise the version), -DBROKEN_BUILD (the entry is published before the copy).
 */
#define FREE 0
#define OTHER 9 /* some other item; X itself is 1, 2, ... by version */
#define IS_X(s) ((s) != FREE && (s) != OTHER)
#define HOME(segment) slot[(segment) * 2]
#define SECOND(segment) slot[(segment) * 2 + 1]

byte slot[4];
byte away[2];
byte version[2]; /* part of the directory entry */
bool built = false;
bool removed = false; /* ghosts */
bool ever_removed = false;

proctype reader() {
  byte segment, v, s, a;
  bool started_after_removal;
  bool found = false;
  started_after_removal = removed;
again:
  /* The entry of the new directory, else that of the old. */
  atomic {
    segment = (built -> 1 : 0);
    v = version[1]
  }
  if
  :: segment == 0 -> v = version[0]
  :: else -> skip
  fi;
  s = HOME(segment);
  if
  :: IS_X(s) -> found = true
  :: else ->
     a = away[segment];
     if
     :: a != 0 ->
        s = SECOND(segment);
        found = IS_X(s)
     :: else -> skip
     fi;
     if
     :: !found && version[segment] != v -> goto again
     :: else -> skip
     fi
  fi;
  assert(found || ever_removed);
  assert(!(found && started_after_removal))
}

proctype writer() {
  byte step = 0;
  byte now = 0; /* the segment that writers use */
  byte x = 1;
  do
  :: step < 4 ->
     step++;
     if
     :: IS_X(HOME(now)) && SECOND(now) == FREE ->
        /* displaced: another item takes its place at home */
#ifdef BROKEN_AWAY
        SECOND(now) = HOME(now);
        HOME(now) = OTHER;
        away[now]++
#else
        away[now]++;
        SECOND(now) = HOME(now);
        HOME(now) = OTHER
#endif
     :: IS_X(SECOND(now)) ->
        /* home has room again; X comes home as it is replaced */
        HOME(now) = FREE;
        x++;
        HOME(now) = x;
#ifndef BROKEN_VERSION
        version[now]++;
#endif
        SECOND(now) = FREE;
        away[now]--
     :: IS_X(HOME(now)) ->
        x++;
        HOME(now) = x
     :: IS_X(SECOND(now)) ->
        x++;
        SECOND(now) = x
     :: now == 0 ->
        /* growth: a copy out of sight, then one store */
#ifdef BROKEN_BUILD
        built = true;
#endif
        if
        :: IS_X(HOME(0)) -> HOME(1) = HOME(0)
        :: IS_X(SECOND(0)) -> HOME(1) = SECOND(0)
        :: IS_X(HOME(0)) -> away[1] = 1; SECOND(1) = HOME(0); HOME(1) = OTHER
        :: else -> skip
        fi;
        now = 1;
        built = true
     :: !removed ->
        ever_removed = true;
        if
        :: IS_X(HOME(now)) -> HOME(now) = FREE
        :: IS_X(SECOND(now)) -> SECOND(now) = FREE; away[now]--
        :: else -> skip
        fi;
        removed = true
     :: else -> skip
     fi
  :: else -> break
  od
}

init {
  atomic {
    HOME(0) = 1;
    run reader();
    run reader();
    run writer()
  }
}
