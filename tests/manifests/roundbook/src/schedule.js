export const reminders = () => {};
export const summary = () => {};
