/* Model of core/hash_table.h: one key X in an old segment (0) and its successor (1), each with X's
 * home bucket and second bucket reduced to one slot, and a neighbour of the same home that only
 * counts. A reader looks for X without a lock while a writer, one step at a time, displaces X or the
 * neighbour, brings X home, replaces it, builds the new segment, removes X or the neighbour.
 *
 * The count of items that are away has two digits, as in the table, which a reader loads one after
 * the other: low first. Here a digit is one bit, so 2 -> 1 stands for 4 -> 3.
 *
 * Properties: a reader that runs while X is in the table all the time finds it; a reader that starts
 * after X was removed does not.
 * Must fail: -DBROKEN_AWAY (the count is raised after the move), -DBROKEN_VERSION (coming home does
 * not raise the version), -DBROKEN_BUILD (the entry is published before the copy), -DBROKEN_COUNT (a
 * count that falls to its low digit does not raise the version), -DBROKEN_COUNT_EARLY (it does so
 * before both stores), -DBROKEN_COUNT_UP (the low digit is raised first).
 */
#define FREE 0
#define OTHER 9 /* some other item; X itself is 1, 2, ... by version */
#define IS_X(s) ((s) != FREE && (s) != OTHER)
#define HOME(segment) slot[(segment) * 2]
#define SECOND(segment) slot[(segment) * 2 + 1]

byte slot[4];
bit low[2]; /* of the count of items that are away */
bit high[2];
byte version[2]; /* part of the directory entry */
bool built = false;
bool removed = false; /* ghosts */
bool ever_removed = false;

inline raise_away(segment) {
  if
  :: low[segment] == 0 -> low[segment] = 1
  :: else ->
#ifdef BROKEN_COUNT_UP
     low[segment] = 0;
     high[segment] = 1
#else
     high[segment] = 1;
     low[segment] = 0
#endif
  fi
}

inline lower_away(segment) {
  if
  :: low[segment] == 1 -> low[segment] = 0
  :: else ->
#ifdef BROKEN_COUNT_EARLY
     version[segment]++;
#endif
     low[segment] = 1;
#if !defined(BROKEN_COUNT) && !defined(BROKEN_COUNT_EARLY)
     version[segment]++;
#endif
     high[segment] = 0
  fi
}

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
     a = low[segment];
     a = a + high[segment];
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
  bool neighbour_away = false;
  do
  :: step < 4 ->
     step++;
     if
     :: !neighbour_away -> raise_away(now); neighbour_away = true
     :: neighbour_away -> lower_away(now); neighbour_away = false
     :: IS_X(HOME(now)) && SECOND(now) == FREE ->
        /* displaced: another item takes its place at home */
#ifdef BROKEN_AWAY
        SECOND(now) = HOME(now);
        HOME(now) = OTHER;
        raise_away(now)
#else
        raise_away(now);
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
        lower_away(now)
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
        low[1] = neighbour_away;
        if
        :: IS_X(HOME(0)) -> HOME(1) = HOME(0)
        :: IS_X(SECOND(0)) -> HOME(1) = SECOND(0)
        :: IS_X(HOME(0)) -> raise_away(1); SECOND(1) = HOME(0); HOME(1) = OTHER
        :: else -> skip
        fi;
        now = 1;
        built = true
     :: !removed ->
        ever_removed = true;
        if
        :: IS_X(HOME(now)) -> HOME(now) = FREE
        :: IS_X(SECOND(now)) -> SECOND(now) = FREE; lower_away(now)
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
