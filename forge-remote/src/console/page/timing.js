// Requests and responses that overlap.

/**
 * Returns a function that runs `run` a moment later: `delay` milliseconds or more after each of its calls, and at most
 * once in that time. `setTimer` is that of a test.
 */
export function delayed(run, delay, setTimer = setTimeout) {
  let isWaiting = false;
  let isWanted = false;
  const wait = () => {
    [isWaiting, isWanted] = [true, false];
    setTimer(() => {
      isWaiting = false;
      run();
      // `run` may be too early for a call that came while the timer ran.
      if (isWanted) wait();
    }, delay);
  };
  return () => {
    isWanted = true;
    if (!isWaiting) wait();
  };
}

/** Wraps an async function, which then resolves to `null` if a later call of it has ended first. */
export function newest(read) {
  let started = 0;
  let ended = 0;
  return async (...values) => {
    started += 1;
    const number = started;
    try {
      const found = await read(...values);
      return number > ended ? found : null;
    } catch (error) {
      if (number > ended) throw error;
      return null;
    } finally {
      ended = Math.max(ended, number);
    }
  };
}
