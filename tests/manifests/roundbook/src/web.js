export const sensor = () => {};
export const calendar = () => {};
