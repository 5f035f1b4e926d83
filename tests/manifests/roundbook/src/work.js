export const exports = () => {};
export const reminders = () => {};
export const photos = () => {};
