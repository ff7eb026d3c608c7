__kernel void k0_kernel(
    __global uchar *m_x,
    const ulong m_x_offset,
    __global uchar *m_out0,
    const ulong m_out0_offset,
    const index_t n_N) {
  __global const float *b_x = (__global const float *)(m_x + m_x_offset);
  __global float *b_out0 = (__global float *)(m_out0 + m_out0_offset);
  const index_t item = (index_t)get_global_id(0);
  if (item >= n_N) return;
  const index_t i_i = item;
  float r_total0;
  float r_acc0;
  r_acc0 = 0.0f;
  for (index_t i_r = 0; i_r < 5; ++i_r) {
    r_acc0 = MULTIPLY_ADD(b_x[i_i * 5 + i_r], b_x[i_i * 5 + i_r], r_acc0);
  }
  r_total0 = r_acc0;
  for (index_t i_j = 0; i_j < 5; ++i_j) {
    const float t0 = ((1L <= (long)i_j) ? (((i_j - 1) >= 0 && (i_j - 1) < 5) ? b_x[i_i * 5 + i_j - 1] : (float)0) : 0.0f);
    b_out0[i_i * 5 + i_j] = (t0 / sqrt(r_total0));
  }
}
